//! A computer as a folder: `/sys` and `/proc` of a machine that is not there, for agents that run many on one host.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// What an agent finds below its facts root.
#[derive(Debug, Clone)]
pub struct Board {
    root: PathBuf,
    number: u16,
}

impl Board {
    /// Machine `number`, laid out below `root`: a board, a card, a disk, all with serials of their own.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn new(root: &Path, number: u16) -> Result<Self> {
        let board = Self {
            root: root.to_owned(),
            number,
        };
        let uuid = format!("88888888-0000-4000-8000-{number:012}");
        for (name, text) in [
            ("sys_vendor", "EnforcerLab".to_owned()),
            ("product_name", "Folder".to_owned()),
            ("product_serial", format!("FLD-{number:05}")),
            ("product_uuid", uuid),
            ("board_serial", format!("FBD-{number:05}")),
            ("bios_version", "1".to_owned()),
        ] {
            board.write(&format!("sys/class/dmi/id/{name}"), &text)?;
        }
        let card = "sys/class/net/eth0";
        fs::create_dir_all(board.root.join(card).join("device"))?;
        board.write(&format!("{card}/address"), &board.mac())?;
        board.write(&format!("{card}/type"), "1")?;
        board.write(&format!("{card}/carrier"), "1")?;
        board.disk(&format!("FDK-{number:05}"))?;
        let cpu = "processor\t: 0\nmodel name\t: None at all\n";
        board.write("proc/cpuinfo", cpu)?;
        board.write("proc/meminfo", "MemTotal:  524288 kB\n")?;
        board.write("proc/sys/kernel/osrelease", "6.1.0-folder")?;
        Ok(board)
    }

    /// Gives it another disk, as somebody does who opens the case.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn disk(&self, serial: &str) -> Result<()> {
        self.write("sys/block/vda/size", "131072")?;
        self.write("sys/block/vda/queue/logical_block_size", "512")?;
        self.write("sys/block/vda/serial", serial)
    }

    /// The hardware address of its card.
    pub fn mac(&self) -> String {
        let [high, low] = self.number.to_be_bytes();
        format!("52:54:00:88:{high:02x}:{low:02x}")
    }

    /// Gives its card another machine's address.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn forge(&self, mac: &str) -> Result<()> {
        self.write("sys/class/net/eth0/address", mac)
    }

    /// The root for the agent.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.root.join(name);
        let folder = path.parent().context("a file lies in a folder")?;
        fs::create_dir_all(folder)?;
        fs::write(&path, format!("{text}\n")).with_context(|| path.display().to_string())
    }
}
