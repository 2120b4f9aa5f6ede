//! An overlay: a tar.gz put together of rendered answer files, such as Alpine's apkovl. Same files, same bytes: what a
//! preview says of it holds for what is served.

use serde::{Deserialize, Serialize};

/// Longest block that deflate stores as it is, bytes (RFC 1951 §3.2.4).
const STORED: usize = 65_535;
/// A tar's unit, bytes.
const BLOCK: usize = 512;

/// What is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// In this order.
    pub files: Vec<OverlayFile>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayFile {
    /// Where, without a slash at its start; below 100 bytes.
    pub path: String,
    /// What.
    pub content: Content,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Content {
    /// An answer file of the same config.
    Answer {
        /// Its name.
        name: String,
        /// Permissions.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// Where it leads; below 100 bytes.
        target: String,
    },
}

impl Overlay {
    /// The bytes, with `answer` for the texts of its files.
    ///
    /// # Errors
    /// As `answer` fails.
    pub fn pack<E>(&self, answer: impl Fn(&str) -> Result<String, E>) -> Result<Vec<u8>, E> {
        let mut tar = Vec::new();
        for file in &self.files {
            match &file.content {
                Content::Answer { name, mode } => {
                    let text = answer(name)?;
                    tar.extend(header(&file.path, *mode, text.len(), b'0', ""));
                    tar.extend(text.as_bytes());
                    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
                }
                Content::Link { target } => tar.extend(header(&file.path, 0o777, 0, b'2', target)),
            }
        }
        tar.resize(tar.len() + 2 * BLOCK, 0);
        Ok(gzip(&tar))
    }
}

/// A ustar header (POSIX.1-1988); owner root, time zero.
fn header(path: &str, mode: u32, size: usize, kind: u8, link: &str) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &path.as_bytes()[..path.len().min(99)]);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, &link.as_bytes()[..link.len().min(99)]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A gzip member (RFC 1952) that stores its bytes: a few kilobytes are not worth a compressor.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let blocks = bytes.len().div_ceil(STORED).max(1);
    for at in 0..blocks {
        let block = &bytes[at * STORED..bytes.len().min((at + 1) * STORED)];
        let length = u16::try_from(block.len()).expect("a block is no longer than STORED");
        out.push(u8::from(at + 1 == blocks));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend(crc32(bytes).to_le_bytes());
    // The length modulo 2^32, as the RFC has it.
    out.extend((bytes.len() as u64 as u32).to_le_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (!(crc & 1)).wrapping_add(1))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_real_tar_unpacks_what_was_put_in() {
        let long = "x".repeat(150_000);
        let overlay = Overlay {
            files: vec![
                OverlayFile {
                    path: "etc/local.d/a.start".to_owned(),
                    content: Content::Answer {
                        name: "a".to_owned(),
                        mode: 0o755,
                    },
                },
                OverlayFile {
                    path: "etc/runlevels/default/local".to_owned(),
                    content: Content::Link {
                        target: "/etc/init.d/local".to_owned(),
                    },
                },
            ],
        };
        let packed = overlay
            .pack(|name| (name == "a").then(|| long.clone()).ok_or(()))
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("o.tar.gz");
        std::fs::write(&file, &packed).unwrap();
        let unpacked = Command::new("tar")
            .arg("-C")
            .arg(folder.path())
            .arg("-xzf")
            .arg(&file)
            .status();
        assert!(unpacked.unwrap().success());
        let script = folder.path().join("etc/local.d/a.start");
        assert_eq!(std::fs::read_to_string(&script).unwrap(), long);
        let link = std::fs::read_link(folder.path().join("etc/runlevels/default/local")).unwrap();
        assert_eq!(link.to_str(), Some("/etc/init.d/local"));
        assert_eq!(
            crc32(b"123456789"),
            0xCBF4_3926,
            "the check value of CRC-32"
        );
    }
}
