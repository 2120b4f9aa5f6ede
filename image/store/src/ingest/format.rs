//! What a stream is, by its first bytes.

use std::fmt;

use super::IngestError;

/// How an image is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The disk as it is.
    Raw,
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
    /// The .xz format, any number of streams.
    Xz,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
        })
    }
}

/// Bytes that [`packed_as`] looks at.
pub(super) const MAGIC_BYTES: usize = 6;
/// Bytes that [`foreign`] looks at: up to a tar header's magic.
pub(super) const FOREIGN_BYTES: usize = 262;

/// How a stream with these first bytes is packed.
pub(super) fn packed_as(head: &[u8]) -> Format {
    match head {
        [0x1f, 0x8b, 8, ..] => Format::Gzip,
        // A frame, or a skippable one before it (pzstd and seekable zstd write such).
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Format::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Format::Xz,
        _ => Format::Raw,
    }
}

/// What plain bytes are that are certainly no disk.
pub(super) fn foreign(head: &[u8]) -> Option<&'static str> {
    const KINDS: &[(usize, &[u8], &str)] = &[
        (0, b"BZh", "compressed with bzip2"),
        (0, b"\x04\x22\x4d\x18", "compressed with lz4"),
        (0, b"LZIP", "compressed with lzip"),
        (0, b"\x89LZO", "compressed with lzop"),
        (0, b"\x5d\x00\x00", "compressed with lzma"),
        (0, b"PK\x03\x04", "a zip archive"),
        (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (0, b"Rar!", "a rar archive"),
        (0, b"QFI\xfb", "a qcow2 disk"),
        (0, b"KDMV", "a VMDK disk"),
        (0, b"vhdxfile", "a VHDX disk"),
        (0, b"conectix", "a VHD disk"),
        (0, b"<<< ", "a VirtualBox disk"),
        (0, b"hsqs", "a squashfs file system, not a disk"),
        (0, b"<!DOCTYPE", "a web page"),
        (0, b"<html", "a web page"),
        (257, b"ustar", "a tar archive"),
    ];
    let packed_again = match packed_as(head) {
        Format::Raw => None,
        Format::Gzip => Some("compressed twice (gzip inside)"),
        Format::Zstd => Some("compressed twice (zstd inside)"),
        Format::Xz => Some("compressed twice (xz inside)"),
    };
    let known = KINDS
        .iter()
        .find(|(at, magic, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    packed_again.or(known.map(|(_, _, name)| *name))
}

/// The sector size of a disk with these first bytes: as the sender said, else the one that its GUID partition table was made
/// for, else 512.
///
/// # Errors
/// When the table says another than the sender.
pub fn sector_size(said: Option<u32>, head: &[u8]) -> Result<u32, IngestError> {
    match (said, of_table(head)) {
        (Some(said), Some(found)) if said != found => Err(IngestError::SectorSize { said, found }),
        (Some(size), _) | (None, Some(size)) => Ok(size),
        (None, None) => Ok(512),
    }
}

/// A GUID partition table's header is in sector 1.
fn of_table(head: &[u8]) -> Option<u32> {
    [512_u32, 4096].into_iter().find(|size| {
        head.get(*size as usize..)
            .is_some_and(|rest| rest.starts_with(b"EFI PART"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_known_by_their_first_bytes() {
        let rows: &[(&[u8], Format)] = &[
            (b"\x1f\x8b\x08\0\0\0", Format::Gzip),
            (b"\x28\xb5\x2f\xfd\0\0", Format::Zstd),
            (b"\x50\x2a\x4d\x18\0\0", Format::Zstd),
            (b"\xfd7zXZ\0", Format::Xz),
            (b"\xeb\x63\x90\0\0\0", Format::Raw),
            (b"\x1f\x8b", Format::Raw),
            (b"", Format::Raw),
        ];
        for (head, expected) in rows {
            assert_eq!(packed_as(head), *expected, "{head:x?}");
        }
    }

    #[test]
    fn archives_and_other_disks_are_named_and_boot_sectors_are_not() {
        assert_eq!(foreign(b"BZh91AY"), Some("compressed with bzip2"));
        assert_eq!(
            foreign(b"\x1f\x8b\x08\0"),
            Some("compressed twice (gzip inside)")
        );
        let mut tar = [0; FOREIGN_BYTES];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(foreign(&tar), Some("a tar archive"));
        assert_eq!(foreign(&[0; 512]), None);
        assert_eq!(foreign(b"\xeb\x63\x90"), None);
    }

    #[test]
    fn the_sector_size_is_read_from_where_the_partition_table_is() {
        for size in [512_u32, 4096] {
            let mut head = vec![0; 8192];
            assert_eq!(of_table(&head), None);
            assert_eq!(sector_size(None, &head).unwrap(), 512);
            assert_eq!(sector_size(Some(size), &head).unwrap(), size);
            head[size as usize..][..8].copy_from_slice(b"EFI PART");
            assert_eq!(of_table(&head), Some(size));
            assert_eq!(sector_size(None, &head).unwrap(), size);
            let other = sector_size(Some(4608 - size), &head).unwrap_err();
            assert!(other.to_string().contains(&size.to_string()), "{other}");
        }
    }
}
