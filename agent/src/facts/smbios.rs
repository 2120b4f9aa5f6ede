//! SMBIOS identity from `/sys/class/dmi/id`, or the device tree's model and serial on boards without SMBIOS.
//! Serial numbers are readable by root only; elsewhere they are absent.

use std::path::Path;

use mesh_proto::facts::Smbios;

use super::read;

/// Reads the identity strings, values as the firmware wrote them.
pub(super) fn gather(root: &Path) -> Smbios {
    let dmi = root.join("sys/class/dmi/id");
    if !dmi.is_dir() {
        return device_tree(root);
    }
    let field = |name: &str| read::text(&dmi.join(name));
    Smbios {
        vendor: field("sys_vendor"),
        product: field("product_name"),
        serial: field("product_serial"),
        uuid: field("product_uuid").map(|uuid| uuid.to_ascii_lowercase()),
        board_vendor: field("board_vendor"),
        board_product: field("board_name"),
        board_serial: field("board_serial"),
        chassis_serial: field("chassis_serial"),
        chassis_asset_tag: field("chassis_asset_tag"),
        firmware_version: field("bios_version"),
    }
}

fn device_tree(root: &Path) -> Smbios {
    let tree = root.join("proc/device-tree");
    Smbios {
        product: read::text(&tree.join("model")),
        serial: read::text(&tree.join("serial-number")),
        ..Smbios::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn blank_strings_are_none_and_the_uuid_is_lower_case() {
        let root = tempfile::tempdir().unwrap();
        let dmi = root.path().join("sys/class/dmi/id");
        fs::create_dir_all(&dmi).unwrap();
        for (name, value) in [
            ("sys_vendor", "EnforcerLab\n"),
            ("product_serial", "\n"),
            ("product_uuid", "77777777-0000-4000-8000-00000000ABCD\n"),
            ("chassis_asset_tag", "ASSET-0001\n"),
            ("board_serial", "   \n"),
        ] {
            fs::write(dmi.join(name), value).unwrap();
        }
        let want = Smbios {
            vendor: Some("EnforcerLab".into()),
            uuid: Some("77777777-0000-4000-8000-00000000abcd".into()),
            chassis_asset_tag: Some("ASSET-0001".into()),
            ..Smbios::default()
        };
        assert_eq!(gather(root.path()), want);
    }

    #[test]
    fn a_board_without_smbios_is_named_by_its_device_tree() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("proc/device-tree");
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join("model"), "Raspberry Pi 4 Model B\0").unwrap();
        fs::write(tree.join("serial-number"), "10000000abcdef01\0").unwrap();
        let got = gather(root.path());
        assert_eq!(got.product.as_deref(), Some("Raspberry Pi 4 Model B"));
        assert_eq!(got.serial.as_deref(), Some("10000000abcdef01"));
    }
}
