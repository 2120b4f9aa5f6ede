//! How hard chunks are packed, by everyone who packs any: one after the other into zstd frames, with these settings on top of
//! [`LEVEL`].
//!
//! Measured on a system disk in chunks of 1 MiB: level 3, zstd's own default, packs 245 MB/s on one core; this 360 MB/s, into
//! 3 % more, which leaves the store at 1.05 of what `zstd -3` makes of the whole disk (the limit is 1.1). Level 1 itself is not
//! quicker and takes 9 % more; level 2 takes 3.6 % more and is slower.

/// What the other settings are for, here the strategy `fast`.
pub const LEVEL: i32 = 1;
/// Matches are as far back as a chunk is long; zstd takes less for a shorter one.
pub const WINDOW_LOG: u32 = crate::ChunkSize::MAX.ilog2();
/// Places remembered: 128 KiB of them, which lie in the second-level cache of any machine.
pub const HASH_LOG: u32 = 15;
/// Bytes of the shortest match. Level 1 has 7, which overlooks much in programs.
pub const MIN_MATCH: u32 = 5;
