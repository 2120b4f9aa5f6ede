//! Whether a client has really received what was written to its socket.
//!
//! A written byte may still be in our kernel's send buffer, megabytes of it, when the machine loses power. Evidence
//! `fetched` means that the machine has the file, so the driver waits until TCP says that every byte was acknowledged:
//! the `tx_queue` column of `/proc/net/tcp` (bytes written and not yet acknowledged). One task reads the table for all
//! who wait.

use std::{collections::HashMap, fs, net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::{Mutex, oneshot};

/// How often the table is read while somebody waits.
const EVERY: Duration = Duration::from_millis(20);
/// Who has not acknowledged after this is gone: TCP itself gives up on a dead machine only after minutes.
const PATIENCE: u32 = 3000; // readings: one minute

/// The two ends of a connection: ours, theirs.
type Ends = (SocketAddr, SocketAddr);

struct Waiting {
    ends: Ends,
    readings: u32,
    tell: oneshot::Sender<bool>,
}

/// Those who wait for acknowledgements.
#[derive(Clone, Default)]
pub(super) struct Acks {
    waiting: Arc<Mutex<Vec<Waiting>>>,
}

impl Acks {
    /// Waits until everything written to the connection is acknowledged; false when it broke or nothing came.
    pub(super) async fn all_received(&self, ends: Ends) -> bool {
        let (tell, told) = oneshot::channel();
        let mut waiting = self.waiting.lock().await;
        waiting.push(Waiting {
            ends,
            readings: 0,
            tell,
        });
        let first = waiting.len() == 1;
        drop(waiting);
        if first {
            // Ends by itself: when the last one was told, at the latest after PATIENCE.
            tokio::spawn(self.clone().watch());
        }
        told.await.unwrap_or(false)
    }

    async fn watch(self) {
        loop {
            let table = tokio::task::spawn_blocking(unacknowledged)
                .await
                .unwrap_or_default();
            let mut waiting = self.waiting.lock().await;
            let before = std::mem::take(&mut *waiting);
            waiting.extend(before.into_iter().filter_map(|w| judge(w, &table)));
            if waiting.is_empty() {
                return;
            }
            drop(waiting);
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// Tells one who waits, or keeps it waiting.
fn judge(mut waiting: Waiting, table: &HashMap<Ends, u32>) -> Option<Waiting> {
    waiting.readings += 1;
    let verdict = match table.get(&waiting.ends) {
        Some(0) => true,
        Some(_) if waiting.readings < PATIENCE => return Some(waiting),
        // Reset, or silent for too long.
        Some(_) | None => false,
    };
    // Nobody listens any more when the connection's task was stopped.
    let _ = waiting.tell.send(verdict);
    None
}

/// Unacknowledged bytes per open connection.
fn unacknowledged() -> HashMap<Ends, u32> {
    fs::read_to_string("/proc/net/tcp")
        .map(|t| t.lines().skip(1).filter_map(row).collect())
        .unwrap_or_default()
}

/// A row of `/proc/net/tcp`: `sl local remote st tx:rx …`, addresses as the hex of their in-memory form. States 1
/// (ESTABLISHED) and 8 (CLOSE_WAIT: the client has closed its side) are those of a connection we still hold.
fn row(line: &str) -> Option<(Ends, u32)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (local, remote, state, queues) =
        (words.next()?, words.next()?, words.next()?, words.next()?);
    if !matches!(state, "01" | "08") {
        return None;
    }
    let unacked = u32::from_str_radix(queues.split_once(':')?.0, 16).ok()?;
    Some(((address(local)?, address(remote)?), unacked))
}

fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let ip = u32::from_str_radix(ip, 16).ok()?.to_ne_bytes();
    Some(SocketAddr::from((ip, u16::from_str_radix(port, 16).ok()?)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_row_of_the_kernels_table_is_understood() {
        let line = "   1: 0100007F:1310 0200000A:9C40 01 0000000A:00000000 01:00000014 00000000     0        0 1 2 0";
        let ends = (
            "127.0.0.1:4880".parse().unwrap(),
            "10.0.0.2:40000".parse().unwrap(),
        );
        assert_eq!(row(line), Some((ends, 10)));
        assert_eq!(
            row("   0: 0100007F:1310 00000000:0000 0A 00000000:00000000 00:00000000"),
            None
        );
    }

    #[tokio::test]
    async fn bytes_that_the_client_did_not_take_are_not_received() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, peer) = listener.accept().unwrap();
        let ends = (server.local_addr().unwrap(), peer);
        server.set_nonblocking(true).unwrap();
        let chunk = vec![0; 1 << 16];
        let mut written = 0;
        while let Ok(n) = server.write(&chunk) {
            written += n;
        }
        let table = unacknowledged();
        assert!(
            table.get(&ends).is_some_and(|n| *n > 0),
            "a stalled client leaves bytes unacknowledged"
        );
        let acks = Acks::default();
        let wait = tokio::spawn({
            let acks = acks.clone();
            async move { acks.all_received(ends).await }
        });
        let taken = tokio::task::spawn_blocking(move || {
            let mut taken = vec![0; written];
            client.read_exact(&mut taken).map(|()| client)
        });
        let _client = taken.await.unwrap().unwrap();
        assert!(wait.await.unwrap());
        drop(server);
    }

    #[tokio::test]
    async fn a_connection_that_broke_has_received_nothing() {
        let ends = (
            "127.0.0.1:1".parse().unwrap(),
            "127.0.0.1:2".parse().unwrap(),
        );
        assert!(!Acks::default().all_received(ends).await);
    }
}
