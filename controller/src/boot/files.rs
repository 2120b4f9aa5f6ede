//! The files that boot protocols serve: firmware by name, the management OS and activations' files from the asset folder.

use std::net::IpAddr;

use ipxe_net::BootFile;

use super::Desk;
use crate::state::{config::Asset, policy::ManagementOs};

/// The files of a management OS; everybody may read them, those of activations need their nonce.
const MANAGEMENT_FILES: [&str; 3] = ["vmlinuz", "initrd.img", "tools.img"];

impl Desk {
    /// A file of `/firmware/…` or `/assets/…`.
    pub(super) fn public_file(&self, path: &str) -> Option<BootFile> {
        if let Some(name) = path.strip_prefix("firmware/") {
            return self.firmware.load().file(name).cloned();
        }
        // Only known names are opened: no path from the wire reaches the disk.
        let (folder, name) = path.rsplit_once('/')?;
        let name = MANAGEMENT_FILES.iter().find(|known| **known == name)?;
        let view = self.store.view();
        let served = |os: &&ManagementOs| os.path.strip_prefix('/') == Some(folder);
        let os = view.policy.management.iter().find(served)?;
        let folder = self.assets.join(os.path.strip_prefix("/assets/")?);
        BootFile::open(&folder.join(name)).ok()
    }

    /// A file that TFTP serves: firmware, also in the form a Raspberry Pi asks for.
    pub(super) fn named_file(&self, name: &str, _: IpAddr) -> Option<BootFile> {
        let firmware = self.firmware.load();
        firmware
            .file(name)
            .or_else(|| firmware.pi_file(name))
            .or_else(|| firmware.file_in_any_case(name))
            .cloned()
    }

    /// The bytes of an asset.
    pub(super) fn asset(&self, asset: &Asset) -> Option<BootFile> {
        let sha256 = asset.sha256.as_ref()?;
        BootFile::open(&self.assets.join("files").join(sha256)).ok()
    }
}
