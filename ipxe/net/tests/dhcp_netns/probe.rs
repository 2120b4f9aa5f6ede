//! Clients that only ask until they are ended, and print every reply: a UEFI PXE ROM's DISCOVER, and iPXE's IPv6 router
//! solicitation.

use std::{
    env,
    io::{self, Read},
    net::{SocketAddr, UdpSocket},
    process::ExitCode,
    time::Duration,
};

use ipxe::dhcp::Message;
use socket2::{Domain, Protocol, Socket, Type};

/// Between two DISCOVERs; real ROMs wait seconds.
const REPEAT: Duration = Duration::from_millis(500);

/// `probe INTERFACE` asks by DHCP, `solicit INTERFACE` for a router.
pub(crate) fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let ask = match args.next().as_deref() {
        Some("solicit") => solicit,
        _ => ask,
    };
    match ask(&args.next().unwrap_or_default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ask(interface: &str) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_broadcast(true)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_read_timeout(Some(REPEAT))?;
    socket.bind(
        &"0.0.0.0:68"
            .parse::<SocketAddr>()
            .map_err(io::Error::other)?
            .into(),
    )?;
    let socket = UdpSocket::from(socket);
    let mut buffer = [0; 2048];
    loop {
        socket.send_to(&discover(), "255.255.255.255:67")?;
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            if let Ok(reply) = Message::reply(&buffer[..len]) {
                print(&reply, &from.ip().to_string());
            }
        }
    }
}

fn solicit(interface: &str) -> io::Result<()> {
    let mut socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_multicast_hops_v6(255)?;
    socket.set_read_timeout(Some(REPEAT))?;
    let routers: SocketAddr = "[ff02::2]:0".parse().map_err(io::Error::other)?;
    let mut buffer = [0; 2048];
    loop {
        // Fails while the interface's own address is still being checked for duplicates.
        let _not_yet = socket.send_to(&[133, 0, 0, 0, 0, 0, 0, 0], &routers.into());
        while let Ok(len) = socket.read(&mut buffer) {
            if let [134, 0, _, _, hops, flags, high, low, ..] = buffer[..len] {
                let lifetime = u16::from_be_bytes([high, low]);
                println!("advertisement hops {hops} flags {flags} lifetime {lifetime} len {len}");
            }
        }
    }
}

fn print(reply: &Message, from: &str) {
    let server = reply
        .server_id()
        .map_or_else(|| from.to_owned(), |s| s.to_string());
    let end = reply
        .file
        .iter()
        .position(|b| *b == 0)
        .unwrap_or(reply.file.len());
    println!(
        "{:?} from {server} yiaddr {} siaddr {} file {}",
        reply.kind,
        reply.yiaddr,
        reply.siaddr,
        String::from_utf8_lossy(&reply.file[..end])
    );
}

fn discover() -> Vec<u8> {
    let mut bytes = vec![0; 240];
    bytes[..8].copy_from_slice(&[1, 1, 6, 0, 0xe, 0xf, 0, 1]);
    bytes[10] = 0x80;
    bytes[28..34].copy_from_slice(&[0x52, 0x54, 0, 0x77, 0, 0xaa]);
    bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
    bytes.extend([53, 1, 1, 57, 2, 5, 0xc0, 93, 2, 0, 7]);
    bytes.extend(b"\x3c\x20PXEClient:Arch:00007:UNDI:003000\xff");
    bytes
}
