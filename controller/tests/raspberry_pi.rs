//! A Raspberry Pi is offered its files, and gets them under the names it writes.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod site;

use std::{net::SocketAddr, time::Duration};

use enforcer::{
    firmware::{FirmwareSet, add},
    state::policy::Policy,
};
use ipxe::{BootOffer, Firmware, MacAddr, PxeClient};
use ipxe_net::BootAuthority as _;
use site::Site;
use tokio::net::UdpSocket;

const PI: PxeClient = PxeClient {
    mac: MacAddr([0xdc, 0xa6, 0x32, 1, 2, 3]),
    uuid: None,
    firmware: Firmware::RaspberryPi,
    ipxe: false,
};

fn provide(site: &Site, names: &[&str]) {
    let source = site.state.path().join("source");
    for name in names {
        std::fs::write(&source, format!("bytes of {name}")).unwrap();
        add(&site.firmware_folder(), &source, name, None).unwrap();
    }
    site.desk
        .set_firmware(FirmwareSet::open(&site.firmware_folder()).unwrap().0);
}

/// What TFTP answers to a read request for `name`: the first block's text, or the error's code.
async fn read(server: SocketAddr, name: &[u8]) -> Result<String, u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let request = [b"\0\x01", name, b"\0octet\0tsize\x000\0"].concat();
    socket.send_to(&request, server).await.unwrap();
    let mut buffer = [0; 1024];
    loop {
        let wait = tokio::time::timeout(Duration::from_secs(20), socket.recv_from(&mut buffer));
        let (n, from) = wait.await.unwrap().unwrap();
        match buffer[1] {
            3 => return Ok(String::from_utf8(buffer[4..n].to_vec()).unwrap()),
            5 => return Err(buffer[3]),
            // The options are acknowledged with block 0.
            _ => drop(socket.send_to(b"\0\x04\0\0", from).await.unwrap()),
        }
    }
}

#[tokio::test]
async fn it_is_offered_files_only_when_there_are_some() {
    let site = Site::new(Policy::default());
    site.register(PI.mac, "pi1").await;
    assert_eq!(site.desk.offer(&PI), BootOffer::Silent);
    provide(&site, &["raspberry-pi/start4.elf"]);
    assert_eq!(
        site.desk.offer(&PI),
        BootOffer::Firmware("start4.elf".into())
    );
    provide(&site, &["raspberry-pi/bootcode.bin"]);
    assert_eq!(
        site.desk.offer(&PI),
        BootOffer::Firmware("bootcode.bin".into())
    );
}

#[tokio::test]
async fn every_spelling_of_its_names_finds_the_file() {
    let site = Site::new(Policy::default());
    provide(
        &site,
        &[
            "raspberry-pi/bootcode.bin",
            "raspberry-pi/start4.elf",
            "raspberry-pi/overlays/miniuart.dtbo",
            "raspberry-pi/a1b2c3d4/config.txt",
            "raspberry-pi/config.txt",
            "ipxe.efi",
        ],
    );
    let tftp = site.tftp();
    for (asked, found) in [
        (&b"bootcode.bin"[..], "raspberry-pi/bootcode.bin"),
        (b"/bootcode.bin", "raspberry-pi/bootcode.bin"),
        (b"a1b2c3d4/start4.elf", "raspberry-pi/start4.elf"),
        (b"a1b2c3d4//start4.elf", "raspberry-pi/start4.elf"),
        (b"\\a1b2c3d4\\start4.elf", "raspberry-pi/start4.elf"),
        (b"a1b2c3d4/start4.elf\xff", "raspberry-pi/start4.elf"),
        (
            b"dc-a6-32-01-02-03/overlays/miniuart.dtbo",
            "raspberry-pi/overlays/miniuart.dtbo",
        ),
        (
            b"overlays/miniuart.dtbo",
            "raspberry-pi/overlays/miniuart.dtbo",
        ),
        (b"a1b2c3d4/config.txt", "raspberry-pi/a1b2c3d4/config.txt"),
        (b"ffffffff/config.txt", "raspberry-pi/config.txt"),
        (b"IPXE.EFI", "ipxe.efi"),
        (b"\\Ipxe.efi \xff\xff", "ipxe.efi"),
    ] {
        let text = read(tftp, asked).await;
        assert_eq!(
            text,
            Ok(format!("bytes of {found}")),
            "{}",
            asked.escape_ascii()
        );
    }
    // 1: file not found (RFC 1350); a Pi asks for dozens of files that nobody has.
    for missing in [
        &b"a1b2c3d4/recovery.elf"[..],
        b"a1b2c3d4/dt-blob.bin",
        b"raspberry-pi",
    ] {
        assert_eq!(
            read(tftp, missing).await,
            Err(1),
            "{}",
            missing.escape_ascii()
        );
    }
    for climbing in [&b"../enforcer.redb"[..], b"a1b2c3d4\\..\\..\\enforcer.redb"] {
        assert!(
            read(tftp, climbing).await.is_err(),
            "{}",
            climbing.escape_ascii()
        );
    }
}
