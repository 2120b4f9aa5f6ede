//! How hard chunks are packed, and which, by everyone who packs any: one after the other into zstd frames, with these settings on
//! top of [`LEVEL`].
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

/// Bytes of each place of a chunk that is tried before all of it: enough for zstd to find what repeats.
const SAMPLE: usize = 16 << 10;
/// Shorter chunks are tried as a whole.
const SAMPLED_FROM: usize = 16 * SAMPLE;
/// A place has to become shorter than this that the whole is tried: by a sixty-fourth.
const WORTH: usize = SAMPLE - SAMPLE / 64;

/// The frame of a chunk, in `frame`, when it is smaller than the chunk. `pack` makes a frame of what it is given in the emptied
/// buffer, and says how long it is; `None` when it cannot.
///
/// What does not shrink at its beginning, in its middle and at its end is not tried as a whole: of random bytes (encrypted or packed
/// already) zstd takes 1.4 GB a second on one core, to no end, and whoever sends and whoever keeps them would each have tried.
/// What repeats only between these places stays as it is.
pub fn smaller<'f>(
    chunk: &[u8],
    frame: &'f mut Vec<u8>,
    mut pack: impl FnMut(&[u8], &mut Vec<u8>) -> Option<usize>,
) -> Option<&'f [u8]> {
    let end = chunk.len().saturating_sub(SAMPLE);
    let mut shrinks = |start: usize| {
        frame.clear();
        pack(&chunk[start..start + SAMPLE], frame).is_some_and(|len| len < WORTH)
    };
    if chunk.len() >= SAMPLED_FROM && ![0, end / 2, end].into_iter().any(&mut shrinks) {
        return None;
    }
    frame.clear();
    let len = pack(chunk, frame)?;
    (len < chunk.len()).then_some(frame.as_slice())
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Packs as many zeros as there are to none, and says what it was given.
    fn without_zeros(given: &mut Vec<usize>) -> impl FnMut(&[u8], &mut Vec<u8>) -> Option<usize> {
        |bytes, frame| {
            assert!(frame.is_empty());
            given.push(bytes.len());
            frame.extend(bytes.iter().filter(|byte| **byte != 0));
            Some(frame.len())
        }
    }

    /// A chunk of ones that has zeros in one place, and what was packed of it.
    fn tried(len: usize, zeros: std::ops::Range<usize>) -> (Option<usize>, Vec<usize>) {
        let (mut chunk, mut frame, mut given) = (vec![1; len], Vec::new(), Vec::new());
        chunk[zeros].fill(0);
        let packed = smaller(&chunk, &mut frame, without_zeros(&mut given)).map(<[u8]>::len);
        (packed, given)
    }

    #[test]
    fn of_what_shrinks_nowhere_only_three_places_are_packed() {
        assert_eq!(tried(1 << 20, 0..0), (None, vec![SAMPLE; 3]));
        // Not worth it.
        assert_eq!(tried(1 << 20, 0..SAMPLE - WORTH).1, [SAMPLE; 3]);
    }

    #[test]
    fn what_shrinks_in_one_of_them_is_packed_as_a_whole() {
        let (len, more) = (1 << 20, SAMPLE - WORTH + 1);
        for (start, places) in [(0, 1), ((len - SAMPLE) / 2, 2), (len - SAMPLE, 3)] {
            let (packed, given) = tried(len, start..start + more);
            assert_eq!((packed, given.len()), (Some(len - more), places + 1));
            assert_eq!(given.last(), Some(&len), "{start}");
        }
    }

    #[test]
    fn a_short_chunk_is_packed_as_a_whole_at_once() {
        let len = SAMPLED_FROM - 1;
        assert_eq!(tried(len, 0..0), (None, vec![len]));
        assert_eq!(tried(len, 0..1), (Some(len - 1), vec![len]));
    }

    #[test]
    fn without_a_packer_nothing_is_packed() {
        let mut frame = vec![7];
        assert_eq!(smaller(&[0; 10], &mut frame, |_, _| None), None);
        assert_eq!(smaller(&[0; 1 << 20], &mut frame, |_, _| None), None);
    }

    proptest! {
        #[test]
        fn a_frame_is_that_of_the_whole_chunk_or_none(chunk in vec(0_u8..3, 0..2000), times in 1_usize..300) {
            let (chunk, mut frame, mut given) = (chunk.repeat(times), Vec::new(), Vec::new());
            let whole: Vec<u8> = chunk.iter().copied().filter(|byte| *byte != 0).collect();
            let packed = smaller(&chunk, &mut frame, without_zeros(&mut given));
            prop_assert!(packed.is_none_or(|packed| packed == whole && packed.len() < chunk.len()));
        }
    }
}
