//! Network cards: the Ethernet interfaces that have hardware behind them.

use std::collections::BTreeMap;
use std::path::Path;

use mesh_proto::facts::Nic;

use super::read;

/// `ARPHRD_ETHER` of `<linux/if_arp.h>`.
const ETHERNET: u32 = 1;

/// `NET_ADDR_PERM` of `<linux/netdevice.h>`: the address in use is the card's own.
const OWN_ADDRESS: u32 = 0;

/// Lists the cards; bridges, bonds and `lo` have no `device` link and are left out. `permanent` is what the kernel says
/// about burned-in addresses, by name.
pub(super) fn gather(root: &Path, permanent: &BTreeMap<String, String>) -> Vec<Nic> {
    read::entries(&root.join("sys/class/net"))
        .into_iter()
        .filter(|(_, path)| {
            path.join("device").exists() && read::number(&path.join("type")) == Some(ETHERNET)
        })
        .filter_map(|(name, path)| nic(name, &path, permanent))
        .collect()
}

fn nic(name: String, path: &Path, permanent: &BTreeMap<String, String>) -> Option<Nic> {
    let mac = read::text(&path.join("address"))?.to_ascii_lowercase();
    // Reading `carrier` or `speed` of an interface that is down is an error (EINVAL), speed -1 means unknown.
    let speed = read::number::<i64>(&path.join("speed")).and_then(|mbps| u32::try_from(mbps).ok());
    Some(Nic {
        permanent_mac: permanent
            .get(&name)
            .cloned()
            .or_else(|| permanent_mac(path, &mac)),
        name,
        mac,
        driver: read::link_name(&path.join("device/driver")),
        speed_mbps: speed.filter(|mbps| *mbps > 0),
        link: read::flag(&path.join("carrier")),
    })
}

/// What `/sys` knows of it: a bond keeps its members' own addresses, and the kernel says where each address came from.
fn permanent_mac(path: &Path, mac: &str) -> Option<String> {
    let under_bond = read::text(&path.join("bonding_slave/perm_hwaddr"));
    let own = || {
        let from = read::number::<u32>(&path.join("addr_assign_type"));
        (from == Some(OWN_ADDRESS)).then(|| mac.to_owned())
    };
    under_bond.map(|mac| mac.to_ascii_lowercase()).or_else(own)
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
            permanent_mac: None,
            driver: Some(driver.into()),
            speed_mbps,
            link,
        };
        let want = [
            nic("eth0", "52:54:00:77:00:0a", "e1000", Some(1000), true),
            nic("eth1", "52:54:00:77:00:02", "virtio_net", None, false),
        ];
        assert_eq!(gather(root.path(), &BTreeMap::new()), want);
    }

    #[test]
    fn the_burned_in_address_is_found_under_a_bond_and_told_from_one_that_was_set() {
        let root = tempfile::tempdir().unwrap();
        let card = |name: &str, more: &[(&str, &str)]| {
            let basic = [("address", "02:00:00:00:00:01"), ("type", "1")];
            let path = root.path().join("sys/class/net").join(name);
            fs::create_dir_all(path.join("bonding_slave")).unwrap();
            interface(root.path(), name, &[&basic, more].concat(), Some("e1000"));
        };
        card(
            "bonded",
            &[
                ("addr_assign_type", "3"),
                ("bonding_slave/perm_hwaddr", "52:54:00:77:00:0A"),
            ],
        );
        card("kernel", &[("addr_assign_type", "3")]);
        card("own", &[("addr_assign_type", "0\n")]);
        card("set", &[("addr_assign_type", "3\n")]);
        let asked = BTreeMap::from([("kernel".to_owned(), "52:54:00:77:00:0b".to_owned())]);
        let found: Vec<_> = gather(root.path(), &asked)
            .into_iter()
            .map(|nic| nic.permanent_mac)
            .collect();
        let want = [
            Some("52:54:00:77:00:0a"),
            Some("52:54:00:77:00:0b"),
            Some("02:00:00:00:00:01"),
            None,
        ];
        assert_eq!(found, want.map(|mac| mac.map(str::to_owned)));
    }
}
