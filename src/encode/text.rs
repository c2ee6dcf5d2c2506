//! The text forms of values, the same in every format: fixed, so that equal rows have equal bytes.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Writes a decimal with all digits of its scale: `15` at scale 2 is `0.15`.
pub fn write_decimal(digits: i128, scale: u8, out: &mut Vec<u8>) {
    if digits < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    // Most fit a machine word, and are written several times as fast.
    let text = match u64::try_from(digits.unsigned_abs()) {
        Ok(word) => buffer.format(word).as_bytes(),
        Err(_) => buffer.format(digits.unsigned_abs()).as_bytes(),
    };
    let scale = usize::from(scale);
    if scale == 0 {
        out.extend_from_slice(text);
    } else if text.len() > scale {
        let (whole, fraction) = text.split_at(text.len() - scale);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + scale - text.len(), b'0');
        out.extend_from_slice(text);
    }
}

/// Writes the ISO form of days since 1970-01-01.
///
/// The civil date is computed with integers only, by the era method (400 years have 146,097 days, and a year that
/// begins in March has its leap day last).
pub fn write_date(days: i32, out: &mut Vec<u8>) {
    let days = i64::from(days) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if year < 0 {
        out.push(b'-');
    }
    digits(year.unsigned_abs(), 4, out);
    out.push(b'-');
    digits(month.unsigned_abs(), 2, out);
    out.push(b'-');
    digits(day.unsigned_abs(), 2, out);
}

/// Writes the RFC 3339 form in UTC of microseconds since 1970-01-01T00:00:00Z; a fraction only where there is one, then
/// with six digits.
pub fn write_timestamp(micros: i64, out: &mut Vec<u8>) {
    write_clock(micros, out);
    out.push(b'Z');
}

/// 0001-01-01T00:00:00Z and 10000-01-01T00:00:00Z, in microseconds.
const YEAR_1: i64 = -62_135_596_800_000_000;
const YEAR_10000: i64 = 253_402_300_800_000_000;

/// Writes the same instant by the clocks of a zone, with their offset.
///
/// RFC 3339 has no seconds in an offset. Clocks of a hundred years ago do: they are read as if their offset ended at the minute,
/// so that the text still means the instant.
pub(super) fn write_local(micros: i64, zone: &TimeZone, out: &mut Vec<u8>) {
    const MICROS: i64 = 1_000_000;
    let instant =
        Timestamp::from_microsecond(micros).unwrap_or(if micros < 0 { Timestamp::MIN } else { Timestamp::MAX });
    let minutes = i64::from(zone.to_offset(instant).seconds()) / 60;
    let local = micros.saturating_add(minutes * 60 * MICROS);
    // RFC 3339 has years of four digits: where the zone's clocks leave them, the instant is told in UTC.
    if !(YEAR_1..YEAR_10000).contains(&local) {
        return write_timestamp(micros, out);
    }
    write_clock(local, out);
    out.push(if minutes < 0 { b'-' } else { b'+' });
    digits(minutes.unsigned_abs() / 60, 2, out);
    out.push(b':');
    digits(minutes.unsigned_abs() % 60, 2, out);
}

/// Date and time of day, without an offset.
fn write_clock(micros: i64, out: &mut Vec<u8>) {
    const DAY: i64 = 86_400_000_000;
    // Fewer than 2^63 / DAY days fit an i32.
    write_date(i32::try_from(micros.div_euclid(DAY)).unwrap_or(i32::MAX), out);
    let of_day = micros.rem_euclid(DAY).unsigned_abs();
    let seconds = of_day / 1_000_000;
    out.push(b'T');
    digits(seconds / 3600, 2, out);
    out.push(b':');
    digits(seconds / 60 % 60, 2, out);
    out.push(b':');
    digits(seconds % 60, 2, out);
    let fraction = of_day % 1_000_000;
    if fraction > 0 {
        out.push(b'.');
        digits(fraction, 6, out);
    }
}

/// Writes a number with leading zeros up to a width.
fn digits(number: u64, width: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number).as_bytes();
    out.resize(out.len() + width.saturating_sub(text.len()), b'0');
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn decimals_show_every_digit_of_their_scale() {
        let cases = [
            (15, 2, "0.15"),
            (-15, 2, "-0.15"),
            (0, 4, "0.0000"),
            (1500, 2, "15.00"),
            (7, 0, "7"),
            (-1, 6, "-0.000001"),
        ];
        for (digits, scale, expected) in cases {
            assert_eq!(text(|out| write_decimal(digits, scale, out)), expected);
        }
        let widest = 10_i128.pow(38) - 1;
        assert_eq!(text(|out| write_decimal(widest, 38, out)), format!("0.{}", "9".repeat(38)));
    }

    #[test]
    fn a_zone_moves_the_clock_and_names_its_offset() {
        let written = |micros, zone| text(|out| write_local(micros, &TimeZone::get(zone).expect("a zone"), out));
        assert_eq!(written(0, "America/New_York"), "1969-12-31T19:00:00-05:00");
        assert_eq!(written(YEAR_10000 - 1, "Asia/Tokyo"), "9999-12-31T23:59:59.999999Z");
        assert_eq!(written(YEAR_1, "America/New_York"), "0001-01-01T00:00:00Z");
        assert_eq!(written(1, "UTC"), "1970-01-01T00:00:00.000001+00:00");
        assert_eq!(written(1_341_100_800_000_000, "America/New_York"), "2012-06-30T20:00:00-04:00");
        assert_eq!(written(1_341_100_800_000_000, "Asia/Kathmandu"), "2012-07-01T05:45:00+05:45");
    }

    proptest! {
        #[test]
        fn dates_are_those_of_the_calendar(days in -719_162_i32..2_932_897) {
            let date = jiff::civil::Date::constant(1970, 1, 1) + jiff::Span::new().days(days);
            prop_assert_eq!(text(|out| write_date(days, out)), date.to_string());
        }

        #[test]
        fn local_timestamps_mean_the_same_instant(
            micros in -62_135_500_000_000_000_i64..253_402_200_000_000_000,
            zone in prop::sample::select(vec!["America/New_York", "Europe/Paris", "Asia/Kathmandu", "UTC", "Africa/Monrovia"]),
        ) {
            let zone = TimeZone::get(zone).expect("a zone");
            let written = text(|out| write_local(micros, &zone, out));
            let read: Timestamp = written.parse().expect("RFC 3339");
            prop_assert_eq!(read.as_microsecond(), micros, "{}", written);
        }

        #[test]
        fn timestamps_are_those_of_rfc_3339(micros in -62_135_596_800_000_000_i64..253_402_300_800_000_000) {
            let written = text(|out| write_timestamp(micros, out));
            let read: Timestamp = written.parse().expect("RFC 3339");
            prop_assert_eq!(read.as_microsecond(), micros);
        }
    }
}
