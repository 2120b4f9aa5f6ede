//! Which disk a job means: said by a person, bound to the one that was seen, chosen by the agent among those it finds.

use serde::{Deserialize, Serialize};

use crate::facts::Disk;

/// Which disk a job means. Every field that is given has to fit; none given means the only fixed disk there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRule {
    /// Its serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where it is plugged in, as udev names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_path: Option<String>,
    /// At least so many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_bytes: Option<u64>,
    /// At most so many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Of several that fit, the smallest: a system disk beside data disks.
    #[serde(default)]
    pub smallest: bool,
}

/// Why no disk is the one that is meant. Always before the first byte is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskProblem {
    /// No disk fits the rule.
    #[error("no fixed disk fits the rule{rule}; there are: {there}")]
    None {
        /// The rule, in words.
        rule: String,
        /// The disks, in words.
        there: String,
    },
    /// More than one does.
    #[error("{count} disks fit the rule{rule}: {there}; name one by its serial number")]
    Several {
        /// How many.
        count: usize,
        /// The rule, in words.
        rule: String,
        /// The disks, in words.
        there: String,
    },
    /// It is too small for the image.
    #[error("{disk} is too small: the image needs {needed} bytes")]
    TooSmall {
        /// The disk, in words.
        disk: String,
        /// Bytes of the image.
        needed: u64,
    },
    /// Its sectors are not the image's.
    #[error("{disk} has sectors of {has} bytes, the image was made for {needed}")]
    SectorSize {
        /// The disk, in words.
        disk: String,
        /// Bytes of its sectors.
        has: u32,
        /// Bytes of the image's.
        needed: u32,
    },
}

impl DiskRule {
    /// A rule that means this very disk, by its serial number or, without one, by place and size.
    #[must_use]
    pub fn this(disk: &Disk) -> Self {
        let by_place = disk.serial.is_none();
        Self {
            serial: disk.serial.clone(),
            model: disk.model.clone(),
            by_path: disk.by_path.clone().filter(|_| by_place),
            min_bytes: Some(disk.bytes),
            max_bytes: Some(disk.bytes),
            smallest: false,
        }
    }

    fn fits(&self, disk: &Disk) -> bool {
        let same = |wanted: &Option<String>, is: &Option<String>| wanted.is_none() || wanted == is;
        !disk.removable
            && disk.bytes > 0
            && same(&self.serial, &disk.serial)
            && same(&self.model, &disk.model)
            && same(&self.by_path, &disk.by_path)
            && self.min_bytes.is_none_or(|min| disk.bytes >= min)
            && self.max_bytes.is_none_or(|max| disk.bytes <= max)
    }

    /// The disk that is meant. Removable ones never are.
    ///
    /// # Errors
    /// When none fits, or several do.
    pub fn choose<'a>(&self, disks: &'a [Disk]) -> Result<&'a Disk, DiskProblem> {
        let mut fitting: Vec<_> = disks.iter().filter(|disk| self.fits(disk)).collect();
        if self.smallest {
            fitting.sort_by_key(|disk| disk.bytes);
            fitting.dedup_by(|later, first| later.bytes > first.bytes);
        }
        match fitting[..] {
            [disk] => Ok(disk),
            [] => Err(DiskProblem::None {
                rule: self.in_words(),
                there: list(disks),
            }),
            _ => Err(DiskProblem::Several {
                count: fitting.len(),
                rule: self.in_words(),
                there: list(fitting),
            }),
        }
    }

    /// The disk that is meant, when an image of this shape can be written to it.
    ///
    /// # Errors
    /// As [`choose`](Self::choose), and when the disk is too small or has other sectors.
    pub fn choose_for<'a>(
        &self,
        disks: &'a [Disk],
        size: u64,
        sector_size: u32,
    ) -> Result<&'a Disk, DiskProblem> {
        let disk = self.choose(disks)?;
        if disk.bytes < size {
            return Err(DiskProblem::TooSmall {
                disk: words(disk),
                needed: size,
            });
        }
        if disk.logical_sector_bytes != sector_size {
            let (has, needed) = (disk.logical_sector_bytes, sector_size);
            return Err(DiskProblem::SectorSize {
                disk: words(disk),
                has,
                needed,
            });
        }
        Ok(disk)
    }

    fn in_words(&self) -> String {
        let text =
            |what: &str, value: &Option<String>| value.as_ref().map(|v| format!("{what} {v}"));
        let parts: Vec<_> = [
            text("serial", &self.serial),
            text("model", &self.model),
            text("by-path", &self.by_path),
            self.min_bytes.map(|n| format!("at least {n} bytes")),
            self.max_bytes.map(|n| format!("at most {n} bytes")),
        ]
        .into_iter()
        .flatten()
        .collect();
        if parts.is_empty() {
            String::new()
        } else {
            format!(" ({})", parts.join(", "))
        }
    }
}

fn list<'a>(disks: impl IntoIterator<Item = &'a Disk>) -> String {
    let all: Vec<_> = disks.into_iter().map(words).collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join("; ")
    }
}

/// A disk as a person recognises it.
fn words(disk: &Disk) -> String {
    let serial = disk.serial.as_deref().unwrap_or("without a serial number");
    let model = disk.model.as_deref().unwrap_or("disk");
    let removable = if disk.removable { ", removable" } else { "" };
    format!(
        "{model} {serial} ({}, {} bytes{removable})",
        disk.name, disk.bytes
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(name: &str, bytes: u64, serial: &str) -> Disk {
        Disk {
            name: name.to_owned(),
            bytes,
            logical_sector_bytes: 512,
            physical_sector_bytes: 512,
            rotational: false,
            removable: false,
            model: Some("QEMU".to_owned()),
            serial: Some(serial.to_owned()).filter(|s| !s.is_empty()),
            by_path: Some(format!("pci-0-{name}")),
        }
    }

    #[test]
    fn no_rule_means_the_only_fixed_disk() {
        let stick = Disk {
            removable: true,
            ..disk("sdb", 8, "stick")
        };
        let one = [stick.clone(), disk("sda", 100, "a")];
        assert_eq!(DiskRule::default().choose(&one).unwrap().name, "sda");
        let two = [disk("sda", 100, "a"), disk("sdb", 50, "b")];
        let several = DiskRule::default().choose(&two).unwrap_err().to_string();
        assert!(
            several.contains("a (sda") && several.contains("b (sdb"),
            "{several}"
        );
        let smallest = DiskRule {
            smallest: true,
            ..DiskRule::default()
        };
        assert_eq!(smallest.choose(&two).unwrap().name, "sdb");
        let twins = [
            disk("sda", 50, "a"),
            disk("sdb", 50, "b"),
            disk("sdc", 70, "c"),
        ];
        assert!(matches!(
            smallest.choose(&twins),
            Err(DiskProblem::Several { count: 2, .. })
        ));
        let named = DiskRule {
            serial: Some("stick".to_owned()),
            ..DiskRule::default()
        };
        assert!(matches!(
            named.choose(&[stick]),
            Err(DiskProblem::None { .. })
        ));
    }

    #[test]
    fn this_very_disk_is_found_again_under_another_name_and_no_other_is() {
        let seen = disk("sda", 100, "a");
        let rule = DiskRule::this(&seen);
        let renamed = Disk {
            by_path: None,
            ..disk("sdb", 100, "a")
        };
        assert_eq!(
            rule.choose(&[disk("sda", 100, "z"), renamed]).unwrap().name,
            "sdb"
        );
        assert!(rule.choose(&[disk("sda", 200, "a")]).is_err());
        let nameless = disk("sda", 100, "");
        let elsewhere = Disk {
            by_path: Some("pci-1".to_owned()),
            ..nameless.clone()
        };
        assert!(DiskRule::this(&nameless).choose(&[elsewhere]).is_err());
    }

    #[test]
    fn an_image_that_does_not_fit_is_refused_by_name() {
        let there = [disk("sda", 1024, "a")];
        let rule = DiskRule::default();
        assert!(rule.choose_for(&there, 1024, 512).is_ok());
        assert!(matches!(
            rule.choose_for(&there, 1536, 512),
            Err(DiskProblem::TooSmall { .. })
        ));
        assert!(matches!(
            rule.choose_for(&there, 1024, 4096),
            Err(DiskProblem::SectorSize { .. })
        ));
    }
}
