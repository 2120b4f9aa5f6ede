//! A small fast TFTP client: one socket, windows, and the retries of an ordinary boot ROM.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::bail;

const BLKSIZE: usize = 1468;
/// Waits without anything new before it gives up.
const PATIENCE: u32 = 30;
const WAIT: Duration = Duration::from_secs(1);

/// What to fetch, and how.
pub(crate) struct Ask {
    pub(crate) name: &'static str,
    /// 1: the option is not sent.
    pub(crate) windowsize: u16,
}

impl Ask {
    fn packet(&self) -> Vec<u8> {
        let mut packet = format!("\0\x01{}\0octet\0blksize\0{BLKSIZE}\0", self.name);
        if self.windowsize > 1 {
            packet += &format!("windowsize\0{}\0", self.windowsize);
        }
        packet.into_bytes()
    }
}

/// Fetches from an address of its own; returns how many bytes came (`expected` only sizes the buffer).
pub(crate) fn fetch(
    server: SocketAddr,
    from: Ipv4Addr,
    ask: &Ask,
    expected: usize,
) -> anyhow::Result<usize> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.set_read_timeout(Some(WAIT))?;
    greet(&socket, server, &ask.packet())?;
    let mut file = Vec::with_capacity(expected);
    let mut buffer = [0; 2048];
    let (mut block, mut since_ack, mut complained, mut waits) = (0_u16, 0, false, 0);
    let ack = |block: u16| {
        let [a, b] = block.to_be_bytes();
        socket.send(&[0, 4, a, b])
    };
    ack(0)?;
    loop {
        let len = match socket.recv(&mut buffer) {
            Ok(len) => len,
            Err(e) if is_timeout(&e) && waits < PATIENCE => {
                waits += 1;
                ack(block)?;
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        match buffer[1] {
            3 if buffer[2..4] == block.wrapping_add(1).to_be_bytes() => {}
            3 => {
                // A gap, or a copy: say once where we are (RFC 7440 §4); in lockstep a copy is just ignored.
                if ask.windowsize > 1 && !complained {
                    complained = true;
                    since_ack = 0;
                    ack(block)?;
                }
                continue;
            }
            6 => continue,
            _ => bail!("{}", String::from_utf8_lossy(&buffer[..len])),
        }
        file.extend_from_slice(&buffer[4..len]);
        block = block.wrapping_add(1);
        (complained, waits) = (false, 0);
        since_ack += 1;
        let last = len < 4 + BLKSIZE;
        if last || since_ack == ask.windowsize {
            since_ack = 0;
            ack(block)?;
        }
        if last {
            return Ok(file.len());
        }
    }
}

/// Sends the request until the OACK comes, and stays with the port that it came from.
fn greet(socket: &UdpSocket, server: SocketAddr, request: &[u8]) -> anyhow::Result<()> {
    let mut buffer = [0; 2048];
    for _ in 0..PATIENCE {
        socket.send_to(request, server)?;
        match socket.recv_from(&mut buffer) {
            Ok((_, from)) if buffer[1] == 6 => return Ok(socket.connect(from)?),
            Ok((len, _)) => bail!("no OACK: {}", String::from_utf8_lossy(&buffer[..len])),
            Err(e) if is_timeout(&e) => {}
            Err(e) => return Err(e.into()),
        }
    }
    bail!("no answer")
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::ConnectionRefused
    )
}
