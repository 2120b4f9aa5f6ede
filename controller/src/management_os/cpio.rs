//! A newc cpio archive, as the kernel unpacks it: built in memory, always the same bytes for the same content (entries
//! sorted, time zero, owner root). Parents of a path are made by themselves.

use std::collections::BTreeMap;

/// An archive being filled.
#[derive(Debug, Default)]
pub(super) struct Archive {
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug)]
enum Node {
    Folder,
    File { executable: bool, content: Vec<u8> },
    Symlink { target: String },
}

impl Archive {
    /// Adds a folder; `path` is relative, without a leading slash.
    pub(super) fn folder(&mut self, path: &str) {
        self.insert(path, Node::Folder);
    }

    /// Adds a file that everybody can read.
    pub(super) fn file(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.insert(
            path,
            Node::File {
                executable: false,
                content: content.into(),
            },
        );
    }

    /// Adds a program or library.
    pub(super) fn program(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.insert(
            path,
            Node::File {
                executable: true,
                content: content.into(),
            },
        );
    }

    /// Adds a symbolic link.
    pub(super) fn symlink(&mut self, path: &str, target: &str) {
        self.insert(
            path,
            Node::Symlink {
                target: target.to_owned(),
            },
        );
    }

    fn insert(&mut self, path: &str, node: Node) {
        for (end, _) in path.match_indices('/') {
            self.nodes
                .entry(path[..end].to_owned())
                .or_insert(Node::Folder);
        }
        self.nodes.insert(path.to_owned(), node);
    }

    /// The archive's bytes.
    #[must_use]
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        // A path sorts before everything below it, so folders come first.
        for (index, (path, node)) in self.nodes.iter().enumerate() {
            let (mode, content): (u32, &[u8]) = match node {
                Node::Folder => (0o040_755, &[]),
                Node::File {
                    executable: true,
                    content,
                } => (0o100_755, content),
                Node::File {
                    executable: false,
                    content,
                } => (0o100_644, content),
                Node::Symlink { target } => (0o120_777, target.as_bytes()),
            };
            record(&mut out, index + 1, mode, path, content);
        }
        record(&mut out, 0, 0, "TRAILER!!!", &[]);
        out
    }
}

/// One entry: 110 bytes of hexadecimal fields, the name with its NUL, the content; both padded to four bytes.
fn record(out: &mut Vec<u8>, inode: usize, mode: u32, path: &str, content: &[u8]) {
    let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
    let (size, name_size) = (content.len(), path.len() + 1);
    let head =
        // magic, inode, mode, uid, gid, links, time, size, device, rdevice, name size, checksum
        format!("070701{inode:08X}{mode:08X}{0:08X}{0:08X}{links:08X}{0:08X}{size:08X}{0:08X}{0:08X}{0:08X}{0:08X}{name_size:08X}{0:08X}", 0);
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(content);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn sample() -> Archive {
        let mut archive = Archive::default();
        archive.program("init", *b"#!/bin/sh\n");
        archive.file("etc/a/b.conf", *b"odd");
        archive.symlink("bin/sh", "busybox");
        archive.folder("proc");
        archive
    }

    fn cpio(arguments: &[&str], folder: &std::path::Path, input: &[u8]) -> String {
        let mut child = Command::new("cpio")
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cpio is installed: apt-get install cpio");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn the_real_cpio_lists_and_unpacks_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = sample().encode();
        let listed = cpio(&["-t", "--quiet"], folder.path(), &bytes);
        assert_eq!(
            listed.lines().collect::<Vec<_>>(),
            [
                "bin",
                "bin/sh",
                "etc",
                "etc/a",
                "etc/a/b.conf",
                "init",
                "proc"
            ]
        );
        cpio(
            &["-i", "--quiet", "--no-preserve-owner"],
            folder.path(),
            &bytes,
        );
        assert_eq!(
            std::fs::read(folder.path().join("etc/a/b.conf")).unwrap(),
            b"odd"
        );
        assert_eq!(
            std::fs::read_link(folder.path().join("bin/sh"))
                .unwrap()
                .to_str(),
            Some("busybox")
        );
        let verbose = cpio(&["-tvn", "--quiet"], folder.path(), &bytes);
        let init = verbose.lines().find(|line| line.ends_with("init")).unwrap();
        assert!(init.starts_with("-rwxr-xr-x   1 0        0"), "{init}");
    }

    #[test]
    fn the_same_content_gives_the_same_bytes_in_any_order() {
        let mut other = Archive::default();
        other.folder("proc");
        other.symlink("bin/sh", "busybox");
        other.file("etc/a/b.conf", *b"odd");
        other.program("init", *b"#!/bin/sh\n");
        assert_eq!(sample().encode(), other.encode());
    }
}
