//! Network cards: the Ethernet interfaces that have hardware behind them.

use std::path::Path;

use mesh_proto::facts::Nic;

use super::read;

/// `ARPHRD_ETHER` of `<linux/if_arp.h>`.
const ETHERNET: u32 = 1;

/// Lists the cards; bridges, bonds and `lo` have no `device` link and are left out.
pub(super) fn gather(root: &Path) -> Vec<Nic> {
    read::entries(&root.join("sys/class/net"))
        .into_iter()
        .filter(|(_, path)| {
            path.join("device").exists() && read::number(&path.join("type")) == Some(ETHERNET)
        })
        .filter_map(|(name, path)| nic(name, &path))
        .collect()
}

fn nic(name: String, path: &Path) -> Option<Nic> {
    // Reading `carrier` or `speed` of an interface that is down is an error (EINVAL), speed -1 means unknown.
    let speed = read::number::<i64>(&path.join("speed")).and_then(|mbps| u32::try_from(mbps).ok());
    Some(Nic {
        name,
        mac: read::text(&path.join("address"))?.to_ascii_lowercase(),
        driver: read::link_name(&path.join("device/driver")),
        speed_mbps: speed.filter(|mbps| *mbps > 0),
        link: read::flag(&path.join("carrier")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    fn interface(root: &Path, name: &str, attributes: &[(&str, &str)], driver: Option<&str>) {
        let path = root.join("sys/class/net").join(name);
        fs::create_dir_all(&path).unwrap();
        for (attribute, value) in attributes {
            fs::write(path.join(attribute), value).unwrap();
        }
        if let Some(driver) = driver {
            fs::create_dir_all(path.join("device")).unwrap();
            symlink(
                format!("../../../bus/pci/drivers/{driver}"),
                path.join("device/driver"),
            )
            .unwrap();
        }
    }

    #[test]
    fn only_cards_with_hardware_are_listed_and_unknown_speed_is_none() {
        let root = tempfile::tempdir().unwrap();
        let up = [
            ("address", "52:54:00:77:00:0A\n"),
            ("type", "1\n"),
            ("speed", "1000\n"),
            ("carrier", "1\n"),
        ];
        interface(root.path(), "eth0", &up, Some("e1000"));
        interface(
            root.path(),
            "eth1",
            &[
                ("address", "52:54:00:77:00:02"),
                ("type", "1"),
                ("speed", "-1"),
            ],
            Some("virtio_net"),
        );
        interface(
            root.path(),
            "lo",
            &[("address", "00:00:00:00:00:00"), ("type", "772")],
            None,
        );
        interface(
            root.path(),
            "br0",
            &[("address", "52:54:00:77:00:03"), ("type", "1")],
            None,
        );
        let nic = |name: &str, mac: &str, driver: &str, speed_mbps, link| Nic {
            name: name.into(),
            mac: mac.into(),
            driver: Some(driver.into()),
            speed_mbps,
            link,
        };
        let want = [
            nic("eth0", "52:54:00:77:00:0a", "e1000", Some(1000), true),
            nic("eth1", "52:54:00:77:00:02", "virtio_net", None, false),
        ];
        assert_eq!(gather(root.path()), want);
    }
}
