//! Serves a folder by TFTP: `tftpd ADDRESS:PORT FOLDER`. For benchmarks and for trying a ROM; it logs nothing.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use ipxe::PxeClient;
use ipxe_net::{
    BootAuthority, BootFile, BootNote, BootOffer, LeaseAnswer, LeaseAsk, ScriptAsk, TftpServer,
};
use tokio_util::sync::CancellationToken;

/// Gives every regular file of a folder to everybody, and nothing else.
struct Folder(PathBuf);

impl BootAuthority for Folder {
    fn tftp_file(&self, name: &str, _: IpAddr) -> Option<BootFile> {
        BootFile::open(&self.0.join(name)).ok()
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

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(addr), Some(folder)) = (args.next(), args.next()) else {
        return Err("usage: tftpd ADDRESS:PORT FOLDER".into());
    };
    let server = TftpServer::bind(addr.parse::<SocketAddr>()?)?;
    println!("serving {folder} on {}", server.local_addr()?);
    let stop = CancellationToken::new();
    // As a task: the future that `main` blocks on runs on another thread than the one that hears the socket.
    tokio::spawn(server.run(Arc::new(Folder(folder.into())), stop)).await?;
    Ok(())
}
