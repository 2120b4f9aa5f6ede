//! HTTP as a machine's firmware and its new system speak it, and a server that is told by webhooks.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// GET from this address of ours: status and body.
pub(crate) fn get(from: IpAddr, at: SocketAddr, path: &str) -> (u16, Vec<u8>) {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.connect(&at.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_off(end + 4))
}

/// What a receiver of webhooks got.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) body: serde_json::Value,
}

/// A receiver of webhooks.
pub(crate) struct Receiving {
    pub(crate) url: String,
    pub(crate) told: Receiver<Told>,
}

impl Receiving {
    /// Answers 200 to everything; ends with the test.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/told", listener.local_addr().unwrap());
        let (tell, told) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if receive(stream.unwrap(), &tell).is_none() {
                    return;
                }
            }
        });
        Self { url, told }
    }

    pub(crate) fn next(&self) -> Told {
        self.told.recv_timeout(Duration::from_secs(30)).unwrap()
    }
}

fn receive(mut stream: TcpStream, tell: &Sender<Told>) -> Option<()> {
    let mut request = Vec::new();
    let (head, mut body) = loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&piece[..read]);
        if let Some(end) = request.windows(4).position(|w| w == b"\r\n\r\n") {
            let body = request.split_off(end + 4);
            break (String::from_utf8_lossy(&request).into_owned(), body);
        }
    };
    let header = |name: &str| {
        let line = head
            .lines()
            .find(|l| l.to_ascii_lowercase().starts_with(name));
        line.and_then(|l| l.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
    };
    let length: usize = header("content-length")?.parse().ok()?;
    while body.len() < length {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        body.extend_from_slice(&piece[..read]);
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .ok()?;
    let told = Told {
        body: serde_json::from_slice(&body).ok()?,
    };
    tell.send(told).ok()
}
