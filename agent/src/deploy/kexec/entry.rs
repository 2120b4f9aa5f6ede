//! What a boot loader would start, as its list says it.

/// Linux on x86-64 and arm64 cuts a command line here (`COMMAND_LINE_SIZE`); half of one starts something else.
const MOST_CMDLINE_BYTES: usize = 2047;
/// A path on a disk is shorter.
const MOST_PATH_BYTES: usize = 1024;
/// Microcode and a first root; nobody has more.
const MOST_INITRDS: usize = 8;

/// A kernel with its files, by their paths in the file system that the list lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kernel: String,
    pub(super) initrds: Vec<String>,
    pub(super) cmdline: String,
}

impl Entry {
    /// `None` when something of it is not what a boot loader's list says.
    pub(super) fn new(kernel: &str, initrds: &[String], cmdline: &[String]) -> Option<Self> {
        let cmdline = cmdline.join(" ");
        let is_plain = |text: &str| text.bytes().all(|b| (0x20..0x7F).contains(&b));
        let is_path =
            |path: &str| !path.is_empty() && path.len() <= MOST_PATH_BYTES && is_plain(path);
        let good = is_path(kernel)
            && initrds.len() <= MOST_INITRDS
            && initrds.iter().all(|path| is_path(path))
            && cmdline.len() <= MOST_CMDLINE_BYTES
            && is_plain(&cmdline);
        good.then(|| Self {
            kernel: kernel.to_owned(),
            initrds: initrds.to_vec(),
            cmdline,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_list_says_is_no_entry() {
        let entry = |kernel: &str, initrds: usize, cmdline: &str| {
            let initrds = vec!["/initrd".to_owned(); initrds];
            Entry::new(kernel, &initrds, &[cmdline.to_owned()]).is_some()
        };
        assert!(entry("/vmlinuz", 1, "ro quiet"));
        assert!(entry(
            "/vmlinuz",
            MOST_INITRDS,
            &"x".repeat(MOST_CMDLINE_BYTES)
        ));
        assert!(!entry("", 1, "ro"));
        assert!(!entry("/vm\nlinuz", 1, "ro"));
        assert!(!entry(&"/".repeat(MOST_PATH_BYTES + 1), 1, "ro"));
        assert!(!entry("/vmlinuz", MOST_INITRDS + 1, "ro"));
        assert!(!entry("/vmlinuz", 1, "ro\u{0}init=/x"));
        assert!(!entry("/vmlinuz", 1, &"x".repeat(MOST_CMDLINE_BYTES + 1)));
    }
}
