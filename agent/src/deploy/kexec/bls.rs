//! Entries of the Boot Loader Specification, type 1 (`loader/entries/*.conf`), as Fedora and systemd-boot have them.

use super::entry::Entry;
use super::words;

/// One file of the folder.
pub(super) fn entry(text: &str) -> Option<Entry> {
    let mut kernel = None;
    let (mut initrds, mut options) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let line = line.trim();
        let (key, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        match key {
            "linux" => kernel = Some(rest.trim().to_owned()),
            "initrd" => initrds.extend(words::split(rest)?),
            "options" => options.extend(words::split(rest)?),
            // Another architecture's, or another kind of program.
            "efi" | "uki" => return None,
            _ => {}
        }
    }
    Entry::new(&kernel?, &initrds, &options)
}

/// Newest first, and what is only for rescue last: by version in the file's name, as GRUB's `blscfg` sorts.
pub(super) fn sort(names: &mut [String]) {
    let is_rescue = |name: &str| name.contains("rescue");
    names.sort_by(|a, b| {
        (is_rescue(a), pieces(b))
            .cmp(&(is_rescue(b), pieces(a)))
            .then_with(|| b.cmp(a))
    });
}

/// `6.10-a` after `6.9-a`: numbers count as numbers.
fn pieces(name: &str) -> Vec<(u64, &str)> {
    let mut pieces = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (letters, after) = after.split_at(letters);
        pieces.push((number.parse().unwrap_or(u64::MAX), letters));
        rest = after;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_and_one_that_needs_grubs_variables_is_not() {
        let text = "title Fedora\nversion 6.8.5\nlinux /vmlinuz-6.8.5\ninitrd /initramfs-6.8.5.img $tuned_initrd\noptions root=UUID=1 ro  rhgb $tuned_params\ngrub_users $grub_users\n";
        let want = Entry::new(
            "/vmlinuz-6.8.5",
            &["/initramfs-6.8.5.img".to_owned()],
            &["root=UUID=1 ro rhgb".to_owned()],
        );
        assert_eq!(entry(text), want);
        assert_eq!(entry("linux /v\noptions $kernelopts\n"), None);
        assert_eq!(entry("linux /v\nefi /EFI/x.efi\n"), None);
        assert_eq!(entry("title nothing\n"), None);
    }

    #[test]
    fn the_newest_kernel_comes_first_and_rescue_last() {
        let names = [
            "id-0-rescue",
            "id-7.0.1-rescue",
            "id-6.9.1-a",
            "id-6.10.0-a",
            "id-6.9.12-a",
        ];
        let mut names = names.map(|name| format!("{name}.conf")).to_vec();
        sort(&mut names);
        let starts = [
            "id-6.10.0",
            "id-6.9.12",
            "id-6.9.1-",
            "id-7.0.1-rescue",
            "id-0-rescue",
        ];
        assert!(
            names.iter().zip(starts).all(|(n, s)| n.starts_with(s)),
            "{names:?}"
        );
    }
}
