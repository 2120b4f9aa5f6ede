//! Waits until the kernel has randomness for keys. A machine without a random number generator of its own has none right
//! after its start; the kernel makes some within a second or two (from its own jitter), but only while somebody waits in
//! `getrandom(2)`. The libraries beneath us do not: in a static binary they look for the C library's symbol in vain and
//! poll `/dev/random` instead, for ever.

use rustix::rand::{GetRandomFlags, getrandom};

/// Returns when keys can be made. Blocks.
pub fn wait() {
    let mut byte = [0];
    // A kernel without the call (before 3.17) has nothing to wait for that we could use.
    while getrandom(&mut byte, GetRandomFlags::empty()) == Err(rustix::io::Errno::INTR) {}
}
