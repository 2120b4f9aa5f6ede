//! A run of DATA packets: which bytes of the file they carry, and how those bytes become packets in place.

use super::packet::DATA;

/// Bytes in front of each block: opcode and block number.
pub const HEADER: usize = 4;

/// Consecutive blocks to be sent in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Number of the first block as it stands on the wire (it wraps from 65535 to 0).
    pub first: u16,
    /// How many blocks.
    pub count: usize,
    /// Bytes per block; only the last may be shorter, or empty.
    pub blksize: usize,
    /// Where in the file the first block's bytes start.
    pub offset: u64,
    /// Bytes of the file in all blocks together.
    pub len: usize,
}

impl Window {
    /// The first `count` blocks of it: as many as one call can send.
    #[must_use]
    pub fn first_blocks(self, count: usize) -> Self {
        if count >= self.count {
            return self;
        }
        Self {
            count,
            len: count * self.blksize,
            ..self
        }
    }

    /// Bytes of one packet: the segment size for offload. The last packet may be shorter.
    #[must_use]
    pub fn segment(&self) -> usize {
        HEADER + self.blksize
    }

    /// Bytes of all packets together.
    #[must_use]
    pub fn framed_len(&self) -> usize {
        self.count * HEADER + self.len
    }

    /// Where the file's bytes are to be put before [`Self::frame`]: the end of the framed buffer.
    #[must_use]
    pub fn data_start(&self) -> usize {
        self.count * HEADER
    }

    /// Turns `buffer`, which holds the file's bytes from [`Self::data_start`] on, into packets that lie back to back.
    /// One read and one small move per block: a read per block would cost a system call each.
    pub fn frame(&self, buffer: &mut [u8]) {
        let mut data = self.data_start();
        let mut number = self.first;
        for block in 0..self.count {
            let at = block * self.segment();
            let len = self.blksize.min(self.framed_len() - at - HEADER);
            // Forward order never overwrites what is still to be moved: `at + HEADER <= data`.
            buffer.copy_within(data..data + len, at + HEADER);
            buffer[at..at + 2].copy_from_slice(&DATA.to_be_bytes());
            buffer[at + 2..at + HEADER].copy_from_slice(&number.to_be_bytes());
            data += len;
            number = number.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(window: &Window, file: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0; window.data_start()];
        buffer.extend_from_slice(file);
        assert_eq!(buffer.len(), window.framed_len());
        window.frame(&mut buffer);
        buffer
    }

    #[test]
    fn bytes_become_packets_in_place() {
        let window = Window {
            first: 65_535,
            count: 3,
            blksize: 4,
            offset: 0,
            len: 9,
        };
        assert_eq!(
            framed(&window, b"abcdefghi"),
            b"\0\x03\xff\xffabcd\0\x03\0\0efgh\0\x03\0\x01i"
        );
    }

    #[test]
    fn an_empty_last_block_is_a_bare_header() {
        let window = Window {
            first: 1,
            count: 2,
            blksize: 2,
            offset: 0,
            len: 2,
        };
        assert_eq!(framed(&window, b"ab"), b"\0\x03\0\x01ab\0\x03\0\x02");
    }

    #[test]
    fn a_shorter_run_holds_only_full_blocks() {
        let window = Window {
            first: 1,
            count: 3,
            blksize: 8,
            offset: 0,
            len: 17,
        };
        let two = window.first_blocks(2);
        assert_eq!((two.count, two.len, two.framed_len()), (2, 16, 24));
        assert_eq!(window.first_blocks(3), window);
    }
}
