//! How the machine was started and what guards the start: UEFI or BIOS, Secure Boot, TPM.

use std::path::Path;

use mesh_proto::facts::{FirmwareMode, Tpm};

use super::read;

/// The variable `SecureBoot` of the EFI global namespace (UEFI 2.10 §3.3).
const SECURE_BOOT: &str =
    "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// efivarfs puts the variable's attributes in front of its value.
const ATTRIBUTE_BYTES: usize = 4;

/// BIOS or UEFI.
pub(super) fn mode(root: &Path) -> FirmwareMode {
    if root.join("sys/firmware/efi").is_dir() {
        FirmwareMode::Uefi
    } else {
        FirmwareMode::Bios
    }
}

/// Whether Secure Boot is enforced; absent when efivarfs is not mounted or the firmware has no such variable.
pub(super) fn secure_boot(root: &Path) -> Option<bool> {
    let variable = read::bytes_up_to(&root.join(SECURE_BOOT), 64)?;
    variable.get(ATTRIBUTE_BYTES).map(|value| *value == 1)
}

/// The first TPM.
pub(super) fn tpm(root: &Path) -> Option<Tpm> {
    let path = root.join("sys/class/tpm/tpm0");
    path.is_dir().then(|| Tpm {
        version: read::number(&path.join("tpm_version_major")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_efi_folder_means_uefi() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(mode(root.path()), FirmwareMode::Bios);
        fs::create_dir_all(root.path().join("sys/firmware/efi")).unwrap();
        assert_eq!(mode(root.path()), FirmwareMode::Uefi);
    }

    #[test]
    fn secure_boot_is_the_byte_after_the_attributes() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(SECURE_BOOT);
        assert_eq!(secure_boot(root.path()), None);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for (bytes, want) in [
            (&[6u8, 0, 0, 0, 1][..], Some(true)),
            (&[6, 0, 0, 0, 0], Some(false)),
            (&[6, 0, 0, 0], None),
        ] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(secure_boot(root.path()), want, "{bytes:?}");
        }
    }

    #[test]
    fn a_tpm_is_there_even_when_an_old_kernel_does_not_say_which() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(tpm(root.path()), None);
        let path = root.path().join("sys/class/tpm/tpm0");
        fs::create_dir_all(&path).unwrap();
        assert_eq!(tpm(root.path()), Some(Tpm { version: None }));
        fs::write(path.join("tpm_version_major"), "2\n").unwrap();
        assert_eq!(tpm(root.path()), Some(Tpm { version: Some(2) }));
    }
}
