//! The only source of what nobody can guess.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};

/// So many random bytes.
///
/// # Panics
/// Where the system has none to give: no key can be made there.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the kernel gives random bytes: without them no key can be made");
    bytes
}
