//! Downloads over plain HTTP whose bytes are thrown away.

use anyhow::{Context, Result, ensure};
use enforcer_tests::bench::Fetched;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Read at a time, bytes.
const PIECE: usize = 256 << 10;
/// A server that sends nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// `count` downloads of `url`, `at_once` in parallel, each on a connection of its own.
pub(crate) fn run(url: &str, count: usize, at_once: usize) -> Result<Fetched> {
    let (host, path) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .context("a URL http://HOST:PORT/PATH")?;
    let (next, began) = (AtomicUsize::new(0), Instant::now());
    let bytes = thread::scope(|scope| {
        let clients: Vec<_> = (0..at_once)
            .map(|_| {
                scope.spawn(|| {
                    let mut sum = 0;
                    while next.fetch_add(1, Ordering::Relaxed) < count {
                        sum += one(host, path)?;
                    }
                    anyhow::Ok(sum)
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("a client does not panic"))
            .sum::<Result<u64>>()
    })?;
    Ok(Fetched {
        bytes,
        seconds: began.elapsed().as_secs_f64(),
    })
}

fn one(host: &str, path: &str) -> Result<u64> {
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(
        format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut reader = BufReader::with_capacity(PIECE, stream);
    let length = head(&mut reader)?;
    let (mut got, mut piece) = (0, vec![0; PIECE]);
    loop {
        match reader.read(&mut piece)? {
            0 => break,
            n => got += n as u64,
        }
    }
    ensure!(got == length, "{got} of {length} bytes came");
    Ok(got)
}

/// Reads the head; the body's length.
fn head(reader: &mut impl BufRead) -> Result<u64> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    ensure!(line.contains(" 200 "), "{}", line.trim());
    let mut length = None;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            return length.context("no Content-Length");
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = Some(value.trim().parse()?);
        }
    }
}
