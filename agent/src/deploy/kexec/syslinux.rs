//! The default label of a `syslinux.cfg` or `extlinux.conf`.

use super::entry::Entry;

#[derive(Default)]
struct Label {
    name: String,
    kernel: Option<String>,
    initrds: Vec<String>,
    append: Vec<String>,
}

/// What is started when nobody chooses: the default label, else the first.
pub(super) fn entry(text: &str) -> Option<Entry> {
    let mut default = None;
    let mut labels: Vec<Label> = Vec::new();
    for line in text.lines() {
        let (word, rest) = split(line);
        match (word.to_ascii_lowercase().as_str(), labels.last_mut()) {
            ("default", _) => default = Some(rest.to_owned()),
            ("label", _) => labels.push(Label {
                name: rest.to_owned(),
                ..Label::default()
            }),
            ("kernel" | "linux", Some(label)) => label.kernel = Some(rest.to_owned()),
            ("initrd", Some(label)) => label.initrds = rest.split(',').map(str::to_owned).collect(),
            ("append", Some(label)) => label.append(rest),
            _ => {}
        }
    }
    let is_default = |label: &&Label| default.as_ref() == Some(&label.name);
    let label = labels.iter().find(is_default).or(labels.first())?;
    Entry::new(label.kernel.as_deref()?, &label.initrds, &label.append)
}

impl Label {
    /// Older lists name the initrd here.
    fn append(&mut self, rest: &str) {
        for word in rest.split_whitespace() {
            match word.strip_prefix("initrd=") {
                Some(paths) => self.initrds = paths.split(',').map(str::to_owned).collect(),
                None => self.append.push(word.to_owned()),
            }
        }
    }
}

fn split(line: &str) -> (&str, &str) {
    let line = line.trim();
    let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    (word, rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(kernel: &str, initrd: &str, cmdline: &str) -> Option<Entry> {
        Entry::new(kernel, &[initrd.to_owned()], &[cmdline.to_owned()])
    }

    #[test]
    fn the_default_label_is_found_in_old_and_new_lists() {
        let new = "SERIAL 0 115200\nDEFAULT b\nLABEL a\n KERNEL /a\nLABEL b\n  LINUX ../vmlinuz\n  INITRD /i\n  APPEND root=x ro\n";
        assert_eq!(entry(new), want("../vmlinuz", "/i", "root=x ro"));
        let old =
            "default l0\nlabel l0\n\tkernel /vmlinuz\n\tappend initrd=/initrd.gz root=x quiet\n";
        assert_eq!(entry(old), want("/vmlinuz", "/initrd.gz", "root=x quiet"));
        let menu = "DEFAULT menu.c32\nLABEL lts\n  LINUX /boot/vmlinuz-lts\n  INITRD /boot/initramfs-lts\n  FDTDIR /d\n  APPEND ro\n";
        assert_eq!(
            entry(menu),
            want("/boot/vmlinuz-lts", "/boot/initramfs-lts", "ro")
        );
    }

    #[test]
    fn a_list_without_a_kernel_is_none() {
        for text in ["", "LABEL a\n LOCALBOOT 0\n", "KERNEL /v\n", "DEFAULT x\n"] {
            assert_eq!(entry(text), None, "{text}");
        }
    }
}
