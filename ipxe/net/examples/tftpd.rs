//! Serves a folder by TFTP: `tftpd ADDRESS:PORT FOLDER`. For benchmarks and for trying a ROM; it logs nothing.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use ipxe::PxeClient;
use ipxe_net::{
    BootAuthority, BootFile, BootNote, BootOffer, LeaseAnswer, LeaseAsk, ScriptAsk, TftpServer,
};
use tokio_util::sync::CancellationToken;

/// Kept in memory up to this size (bytes), as the controller keeps its boot programs.
const IN_MEMORY: u64 = 2 << 20;

/// Gives every regular file of a folder to everybody, and nothing else.
struct Folder {
    path: PathBuf,
    small: Mutex<BTreeMap<String, BootFile>>,
}

impl Folder {
    fn open(&self, name: &str) -> Option<BootFile> {
        let mut small = self.small.lock().ok()?;
        if let Some(file) = small.get(name) {
            return Some(file.clone());
        }
        let path = self.path.join(name);
        let file = BootFile::open(&path).ok()?;
        if file.size() > IN_MEMORY {
            return Some(file);
        }
        let file = BootFile::Memory(std::fs::read(path).ok()?.into());
        small.insert(name.to_owned(), file.clone());
        Some(file)
    }
}

impl BootAuthority for Folder {
    fn tftp_file(&self, name: &str, _: IpAddr) -> Option<BootFile> {
        self.open(name)
    }

    fn note(&self, _: BootNote) {}

    fn offer(&self, _: &PxeClient) -> BootOffer {
        BootOffer::Silent
    }

    async fn lease(&self, _: LeaseAsk) -> LeaseAnswer {
        LeaseAnswer::Silent
    }

    async fn script(&self, _: ScriptAsk) -> String {
        String::new()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(addr), Some(folder)) = (args.next(), args.next()) else {
        return Err("usage: tftpd ADDRESS:PORT FOLDER".into());
    };
    let server = TftpServer::bind(addr.parse::<SocketAddr>()?)?;
    println!("serving {folder} on {}", server.local_addr()?);
    let served = Folder {
        path: folder.into(),
        small: Mutex::default(),
    };
    let stop = CancellationToken::new();
    server.run(Arc::new(served), stop).await;
    Ok(())
}
