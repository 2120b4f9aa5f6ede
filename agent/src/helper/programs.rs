//! The boot programs that a helper has at hand for TFTP, which does not wait.

use std::{collections::BTreeMap, net::IpAddr};

use ipxe_net::BootFile;

/// Where a Raspberry Pi's files are.
const PI: &str = "raspberry-pi/";

/// By name.
#[derive(Debug, Default)]
pub(super) struct Programs(pub(super) BTreeMap<String, BootFile>);

impl Programs {
    /// What a TFTP client means by a name: a program, in any case; or a Raspberry Pi's file, below its serial or for all.
    pub(super) fn file(&self, name: &str, _from: IpAddr) -> Option<BootFile> {
        let shared = name.split_once('/').map_or(name, |(_, rest)| rest);
        let exact = |name: &str| self.0.get(name);
        let found = exact(name)
            .or_else(|| exact(&format!("{PI}{name}")))
            .or_else(|| exact(&format!("{PI}{shared}")));
        let same = |(known, _): &(&String, &BootFile)| known.eq_ignore_ascii_case(name);
        let found = found.or_else(|| self.0.iter().find(same).map(|(_, file)| file));
        found.cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_as_firmware_asks_for_it() {
        let file = |text: &'static str| BootFile::Memory(text.into());
        let all = [
            ("undionly.kpxe", "u"),
            ("raspberry-pi/start4.elf", "all"),
            ("raspberry-pi/5a/start4.elf", "5a"),
        ];
        let programs = Programs(all.map(|(n, t)| (n.to_owned(), file(t))).into());
        let from = IpAddr::from([10, 0, 0, 9]);
        for (name, expected) in [
            ("undionly.kpxe", Some(1)),
            ("UNDIONLY.KPXE", Some(1)),
            ("5a/start4.elf", Some(2)),
            ("77/start4.elf", Some(3)),
            ("../undionly.kpxe", None),
        ] {
            let found = programs.file(name, from).map(|f| f.size());
            assert_eq!(found, expected, "{name}");
        }
    }
}
