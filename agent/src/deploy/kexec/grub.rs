//! The first entry of a `grub.cfg` as `grub-mkconfig` writes it: the first `linux` line and the `initrd` line that follows
//! it. GRUB's language is not run; a line that needs it is passed over.

use super::entry::Entry;
use super::words;

/// The entry that is started when nobody chooses. Ubuntu's first entry tries without an initrd in its second branch only.
pub(super) fn entry(text: &str) -> Option<Entry> {
    let mut kernel: Option<(String, Vec<String>)> = None;
    for line in text.lines() {
        let line = line.trim();
        // An entry without an initrd ends here.
        if line.starts_with('}') && kernel.is_some() {
            break;
        }
        let Some(command) = line.split_whitespace().next() else {
            continue;
        };
        match (command, &kernel) {
            ("linux" | "linux16" | "linuxefi", None) => kernel = kernel_of(line),
            ("initrd" | "initrd16" | "initrdefi", Some((path, cmdline))) => {
                let initrds = words::split(line)?;
                return Entry::new(path, &initrds[1..], cmdline);
            }
            _ => {}
        }
    }
    let (path, cmdline) = kernel?;
    Entry::new(&path, &[], &cmdline)
}

fn kernel_of(line: &str) -> Option<(String, Vec<String>)> {
    let mut words = words::split(line)?.into_iter().skip(1);
    Some((words.next()?, words.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Debian 12's `grub-mkconfig` writes it, shortened.
    const DEBIAN: &str = r"
set default=0
if [ x$feature_all_video_module = xy ]; then
  insmod all_video
fi
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-3c4f' {
	load_video
	insmod gzio
	search --no-floppy --fs-uuid --set=root 3c4f
	echo	'Loading Linux 6.1.0-18-amd64 ...'
	linux	/boot/vmlinuz-6.1.0-18-amd64 root=UUID=3c4f ro console=tty0 console=ttyS0,115200
	echo	'Loading initial ramdisk ...'
	initrd	/boot/initrd.img-6.1.0-18-amd64
}
submenu 'Advanced options' {
	menuentry 'recovery' {
		linux	/boot/vmlinuz-6.1.0-18-amd64 root=UUID=3c4f ro single
		initrd	/boot/initrd.img-6.1.0-18-amd64
	}
}
";
    const UBUNTU: &str = r#"
menuentry 'Ubuntu' {
	if [ "${initrdfail}" = 1 ]; then
	  linux	/vmlinuz-6.8 root=PARTUUID=ab ro console=tty1 $vt_handoff
	  initrd	/microcode.cpio /initrd.img-6.8
	else
	  linux	/vmlinuz-6.8 root=PARTUUID=ab ro console=tty1 panic=-1
	fi
	initrdfail
}
"#;

    #[test]
    fn the_first_entry_is_found_as_distributions_write_it() {
        let want = |kernel: &str, initrds: &[&str], cmdline: &str| {
            let initrds: Vec<_> = initrds.iter().map(|i| (*i).to_owned()).collect();
            Entry::new(kernel, &initrds, &[cmdline.to_owned()])
        };
        assert_eq!(
            entry(DEBIAN),
            want(
                "/boot/vmlinuz-6.1.0-18-amd64",
                &["/boot/initrd.img-6.1.0-18-amd64"],
                "root=UUID=3c4f ro console=tty0 console=ttyS0,115200"
            )
        );
        assert_eq!(
            entry(UBUNTU),
            want(
                "/vmlinuz-6.8",
                &["/microcode.cpio", "/initrd.img-6.8"],
                "root=PARTUUID=ab ro console=tty1"
            )
        );
        assert_eq!(
            entry("menuentry x {\n linux /v ro\n}\nmenuentry y {\n linux /w\n initrd /i\n}"),
            want("/v", &[], "ro")
        );
    }

    #[test]
    fn what_needs_grubs_language_is_not_guessed() {
        // Fedora's list is its loader entries.
        assert_eq!(entry("insmod blscfg\nblscfg\n"), None);
        assert_eq!(entry("linux ${kernel} ro\ninitrd /i\n"), None);
        assert_eq!(entry("linux /v ro\ninitrd $initrd\n"), None);
        assert_eq!(entry("configfile /boot/grub/grub.cfg\n"), None);
    }
}
