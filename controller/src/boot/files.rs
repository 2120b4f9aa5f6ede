//! The files that boot protocols serve: firmware by name, the management OS and activations' files from the asset folder.

use std::net::IpAddr;

use ipxe_net::BootFile;

use super::Desk;
use crate::state::config::Asset;

/// The part of the asset folder that everybody may read; files of activations need their nonce.
const PUBLIC: &str = "assets/management-os/";

impl Desk {
    /// A file of `/firmware/…` or `/assets/…`.
    pub(super) fn public_file(&self, path: &str) -> Option<BootFile> {
        if let Some(name) = path.strip_prefix("firmware/") {
            return self.firmware.load().file(name).cloned();
        }
        path.strip_prefix(PUBLIC)?;
        BootFile::open(&self.assets.join(path.strip_prefix("assets/")?)).ok()
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
        BootFile::open(&self.assets.join("files").join(&asset.sha256)).ok()
    }
}
