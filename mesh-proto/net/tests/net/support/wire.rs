//! A wire between an agent and its controller that can be cut.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::net::UdpSocket;

/// A UDP relay for one client.
pub(crate) struct Wire {
    /// Where the client dials.
    pub(crate) addr: SocketAddr,
    cut: Arc<AtomicBool>,
}

impl Wire {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (addr, cut) = (near.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let is_cut = Arc::clone(&cut);
        tokio::spawn(async move {
            let (mut client, mut up, mut down) = (None, [0; 2048], [0; 2048]);
            loop {
                let (socket, to, bytes) = tokio::select! {
                    Ok((len, from)) = near.recv_from(&mut up) => {
                        client = Some(from);
                        (&far, server, &up[..len])
                    }
                    Ok((len, _)) = far.recv_from(&mut down) => {
                        let Some(client) = client else { continue };
                        (&near, client, &down[..len])
                    }
                };
                if !is_cut.load(Ordering::SeqCst) {
                    let _lost = socket.send_to(bytes, to).await;
                }
            }
        });
        Self { addr, cut }
    }

    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}
