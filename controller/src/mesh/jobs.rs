//! What deployments need while nobody asks: machines told to start, probes sent, deadlines passed.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Inner;
use crate::{
    client::Client,
    ordered::Gather as _,
    state::{
        View,
        deployment::{Deployment, Probe, State, Until},
        machine::MachineId,
        ops::{PassDeadlines, ProbeAnswered, deadline_passed},
    },
};

/// How often the queues are looked at when nothing is told.
const EVERY: Duration = Duration::from_secs(2);
/// How long a probe may take: a new system that is there answers at once.
const PROBE_WITHIN: Duration = Duration::from_secs(2);
/// Probes in one round; the others have the next one's.
const PROBES: usize = 64;
/// Bytes of a probe's answer that are read.
const MAX_ANSWER: usize = 64 << 10;

impl Inner {
    /// Looks after the queues until we stop.
    pub(super) async fn keep_jobs(self: Arc<Self>, stop: CancellationToken) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let client = Client::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            self.pass_deadlines().await;
            tokio::join!(self.start_machines(), self.probe(&client));
        }
    }

    async fn pass_deadlines(&self) {
        if !deadline_passed(&self.store.view(), self.store.now()) {
            return;
        }
        match self.store.apply(PassDeadlines).await {
            Ok(again) => {
                for job in again {
                    info!(deployment = %job.id, machine = %job.machine, "the new system was not heard; once more");
                }
            }
            Err(error) => warn!(%error, "what is overdue could not be written down"),
        }
    }

    /// Machines whose agent speaks are told to restart for the job that is theirs.
    async fn start_machines(self: &Arc<Self>) {
        let view = self.store.view();
        let machines: BTreeSet<&MachineId> = view
            .open_deployments()
            .map(|d| &d.machine)
            .filter(|id| view.member(id).is_some_and(|m| m.is_alive()))
            .gather();
        for id in machines {
            self.go_on(id).await;
        }
    }

    async fn probe(&self, client: &Client) {
        let view = self.store.view();
        let due = view.open_deployments().filter_map(|d| {
            let probe = asked(d)?;
            Some((d.id, probe, address(&view, d, probe)?))
        });
        let probes = due.take(PROBES).map(|(id, probe, at)| async move {
            if answers(client, probe, at).await
                && let Err(error) = self.store.apply(ProbeAnswered(id)).await
            {
                warn!(%error, deployment = %id, "an answered probe could not be written down");
            }
        });
        futures_util::future::join_all(probes).await;
    }
}

/// The probe of a deployment whose disk was started.
fn asked(job: &Deployment) -> Option<&Probe> {
    match (&job.order.until, job.state) {
        (Until::Online { probe, .. }, State::HandedOver) => probe.as_ref(),
        _ => None,
    }
}

/// Where the new system should be: as asked, or the newest lease, or where its agent was last.
fn address(view: &View, job: &Deployment, probe: &Probe) -> Option<SocketAddr> {
    let (Probe::Tcp { host, port } | Probe::Http { host, port, .. }) = probe;
    let machine = view.machine(&job.machine)?;
    let leased = || {
        let leases = machine.macs.iter().filter_map(|mac| view.lease(*mac));
        let newest = leases.max_by_key(|l| l.expires)?;
        Some(IpAddr::V4(newest.ip))
    };
    let linked = || Some(view.member(&job.machine)?.address.ip());
    Some(SocketAddr::new(
        (*host).or_else(leased).or_else(linked)?,
        *port,
    ))
}

async fn answers(client: &Client, probe: &Probe, at: SocketAddr) -> bool {
    match probe {
        Probe::Tcp { .. } => {
            let connected = tokio::time::timeout(PROBE_WITHIN, TcpStream::connect(at)).await;
            matches!(connected, Ok(Ok(_)))
        }
        Probe::Http { path, .. } => {
            let request = Request::get(format!("http://{at}{path}"));
            let Ok(request) = request.body(Full::<Bytes>::default()) else {
                return false;
            };
            let answer = client.ask(request, PROBE_WITHIN, MAX_ANSWER).await;
            answer.is_ok_and(|a| a.status().as_u16() < 400)
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    fn http(at: SocketAddr) -> Probe {
        Probe::Http {
            host: None,
            port: at.port(),
            path: "/health?deep=1".to_owned(),
        }
    }

    /// Answers one request with this status; gives back its first line.
    async fn once(listener: TcpListener, status: &str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let read = stream.read(&mut head).await.unwrap();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        let head = String::from_utf8_lossy(&head[..read]).into_owned();
        head.lines().next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn a_probe_is_answered_by_a_port_that_is_open_and_a_status_that_is_good() {
        let client = Client::default();
        for (status, good) in [("200 OK", true), ("302 Found", true), ("503 Busy", false)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = listener.local_addr().unwrap();
            let server = tokio::spawn(once(listener, status));
            assert_eq!(answers(&client, &http(at), at).await, good, "{status}");
            assert_eq!(server.await.unwrap(), "GET /health?deep=1 HTTP/1.1");
            let tcp = Probe::Tcp {
                host: None,
                port: at.port(),
            };
            assert!(!answers(&client, &tcp, at).await, "nobody listens any more");
            assert!(!answers(&client, &http(at), at).await);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let tcp = Probe::Tcp {
            host: None,
            port: at.port(),
        };
        assert!(answers(&client, &tcp, at).await);
    }
}
