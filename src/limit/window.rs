//! One number of one caller in one window: what was lent of it, and what was used.

use crate::redis::Drawn;

use super::Source;

/// A caller who has just been told that there is no more is not asked for again so soon, in milliseconds.
const DRY_PAUSE: u64 = 500;
/// A slice that lasts for less than this is followed by one of twice its size, in milliseconds.
const SLICE_LASTS: u64 = 1000;
/// A slice is a tenth of all there is, to begin with.
const SLICES: u64 = 10;

/// What this instance has of one window, and what it knows of the others.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Window {
    /// Which one, counted from 1970.
    pub(super) number: u64,
    /// What was lent to this instance.
    granted: u64,
    /// What was used here.
    used: u64,
    /// What was lent to others, when they were last heard of.
    others: u64,
    /// What was last asked for.
    slice: u64,
    /// When it was, in milliseconds since 1970; 0 if never in this window.
    drawn_at: u64,
    /// Whether less was given than was asked for: there is no more.
    dry: bool,
}

impl Window {
    /// Goes on to the window of now, with nothing used.
    pub(super) fn roll(&mut self, number: u64) {
        // What a clock that was set right by a moment makes of it is still the same window.
        if number > self.number || number + 1 < self.number {
            *self = Self { number, ..Self::default() };
        }
    }

    /// What may still be used here without asking anybody.
    pub(super) fn left(&self, limit: u64, source: Source) -> u64 {
        let ceiling = match source {
            Source::Lent => self.granted,
            Source::Share(instances) => self.granted.max(share(limit, instances)),
        };
        ceiling.saturating_sub(self.used)
    }

    /// What is left for the caller at all instances together, as far as is known here.
    pub(super) fn remaining(&self, limit: u64, source: Source) -> u64 {
        match source {
            Source::Lent => limit.saturating_sub(self.others).saturating_sub(self.used),
            Source::Share(_) => self.left(limit, source).min(limit),
        }
    }

    pub(super) fn take(&mut self, amount: u64) {
        self.used = self.used.saturating_add(amount);
    }

    /// What this instance answers for.
    pub(super) fn held(&self) -> u64 {
        self.granted.max(self.used)
    }

    /// Keeps nothing but what was used; says whether anything was there to give back.
    pub(super) fn give_back(&mut self) -> bool {
        let unused = self.granted > self.used;
        self.granted = self.granted.min(self.used);
        unused
    }

    /// Whether the slice is about to run out, where there is more.
    pub(super) fn is_low(&self, limit: u64) -> bool {
        let left = self.granted.saturating_sub(self.used);
        self.slice >= 4 && left < self.slice / 4 && !self.dry && self.granted.saturating_add(self.others) < limit
    }

    /// Whether more was used than was lent.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.used > self.granted
    }

    /// Whether anything was asked for in this window.
    pub(super) fn is_known(&self) -> bool {
        self.drawn_at > 0
    }

    /// Whether asking now would be told what was told a moment ago.
    pub(super) fn is_dry(&self, now: u64) -> bool {
        self.dry && now.saturating_sub(self.drawn_at) < DRY_PAUSE
    }

    /// How much to ask for next, of which so much is needed. Small where little is left, so that no instance sits on what
    /// another one needs.
    pub(super) fn want(&self, limit: u64, needed: u64, instances: u64, now: u64) -> u64 {
        let base = (limit / SLICES).max(1);
        let quickly = self.drawn_at > 0 && now.saturating_sub(self.drawn_at) < SLICE_LASTS;
        let slice = if quickly { self.slice.saturating_mul(2).max(base) } else { base };
        let left = limit.saturating_sub(self.others).saturating_sub(self.held());
        let lacking = needed.saturating_sub(self.granted.saturating_sub(self.used));
        slice.min(left / instances.saturating_add(1)).max(1).max(lacking)
    }

    /// Takes what was lent. One that is of a window that has passed is void.
    pub(super) fn lend(&mut self, drawn: &Drawn, want: u64, now: u64) {
        if drawn.window < self.number && (self.granted > 0 || self.used > 0) {
            return;
        }
        // Of what this instance was lent before it came into this window, it does not know what it used.
        let used = if drawn.window == self.number { self.used } else { drawn.own.saturating_sub(drawn.granted) };
        (self.number, self.granted, self.used, self.others) = (drawn.window, drawn.own, used, drawn.others);
        if want > 0 {
            (self.slice, self.drawn_at, self.dry) = (want, now, drawn.granted < want);
        }
    }
}

/// One instance's part of a number; each has at least one.
pub(super) fn share(limit: u64, instances: u64) -> u64 {
    if limit == 0 { 0 } else { (limit / instances.max(1)).max(1) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drawn(window: u64, granted: u64, own: u64, others: u64) -> Drawn {
        Drawn { window, granted, own, others }
    }

    #[test]
    fn slices_grow_when_they_are_used_up_quickly_and_shrink_with_what_is_left() {
        let mut window = Window::default();
        let mut wants = Vec::new();
        let mut own = 0;
        while own < 200 {
            let want = window.want(200, 1, 1, 1000);
            own += want;
            window.lend(&drawn(0, want, own, 0), want, 1000);
            window.take(want);
            wants.push(want);
        }
        assert_eq!(wants, [20, 40, 70, 35, 17, 9, 4, 2, 1, 1, 1]);
        // A slice that has lasted is followed by one of the first size.
        assert_eq!(Window { slice: 80, drawn_at: 1, ..Window::default() }.want(200, 1, 1, 5000), 20);
        // Where there is little, each asks for one at a time; what an answer needs is asked for at once.
        assert_eq!(Window::default().want(5, 1, 2, 0), 1);
        assert_eq!(Window::default().want(1000, 300, 2, 0), 300);
    }

    #[test]
    fn what_is_lent_for_a_window_that_has_passed_is_void() {
        let mut window = Window::default();
        window.roll(7);
        window.lend(&drawn(7, 5, 5, 3), 5, 1);
        window.take(2);
        assert_eq!((window.left(10, Source::Lent), window.remaining(10, Source::Lent)), (3, 5));
        window.lend(&drawn(6, 9, 9, 0), 9, 2);
        assert_eq!(window.left(10, Source::Lent), 3);
        window.roll(8);
        assert_eq!((window.left(10, Source::Lent), window.remaining(10, Source::Lent)), (0, 10));
        // Redis' clock is right: who was ahead of it comes back, and knows not what it used before.
        window.lend(&drawn(7, 1, 6, 3), 1, 3);
        assert_eq!((window.number, window.left(10, Source::Lent), window.remaining(10, Source::Lent)), (7, 1, 2));
    }

    #[test]
    fn without_redis_an_instance_has_its_share_or_what_it_was_lent_and_not_both() {
        let mut window = Window { granted: 60, ..Window::default() };
        window.take(40);
        assert_eq!(window.left(100, Source::Share(2)), 20);
        window.take(20);
        assert_eq!(window.left(100, Source::Share(2)), 0);
        let fresh = Window::default();
        assert_eq!((fresh.left(100, Source::Share(3)), fresh.left(1, Source::Share(3))), (33, 1));
        assert_eq!(fresh.left(0, Source::Share(3)), 0);
    }

    proptest! {
        /// However instances draw, they are never lent more than there is, and what each has just heard is left is there.
        #[test]
        fn all_are_lent_no_more_than_there_is(limit in 0_u64..500, moves in prop::collection::vec((0_usize..3, 1_u64..40), 0..200)) {
            let mut windows = [Window::default(); 3];
            let mut held = [0_u64; 3];
            let mut used = 0;
            for (who, needed) in moves {
                let window = &mut windows[who];
                if window.left(limit, Source::Lent) < needed {
                    let want = window.want(limit, needed, 3, 0);
                    held[who] = window.held();
                    let others: u64 = held.iter().sum::<u64>() - held[who];
                    let granted = want.min(limit.saturating_sub(others + held[who]));
                    held[who] += granted;
                    window.lend(&drawn(0, granted, held[who], others), want, 0);
                    prop_assert!(window.remaining(limit, Source::Lent) <= limit - used);
                }
                if window.left(limit, Source::Lent) >= needed {
                    window.take(needed);
                    used += needed;
                }
                prop_assert!(held.iter().sum::<u64>() <= limit && used <= limit);
            }
        }
    }
}
