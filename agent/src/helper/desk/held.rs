//! What this helper alone serves: by its ledger, which is written before a machine sees anything of it, and told.

use std::{
    io,
    sync::{Arc, PoisonError},
    time::Duration,
};

use ipxe_net::{NonceAsk, NonceReceived, NonceReply, ScriptAsk};
use mesh_proto::message::boot::{BootAnswer, BootAsk, Received, Served};
use tokio::task::spawn_blocking;

use super::{ANSWER, Away, Desk, base_url};
use crate::helper::away::Fetched;

/// Time for the controller to say that it is over meanwhile: a machine waits, and silence is no reason not to serve.
const SERVED: Duration = Duration::from_secs(1);

/// What became of telling that a boot was served.
enum Told {
    /// Serve it.
    Go,
    /// It is over.
    Over,
    /// It could not be told, nor kept for later.
    Lost,
}

impl Desk {
    /// The script of what only this helper serves to this machine.
    pub(super) async fn held_script(&self, ask: &ScriptAsk, base: &str) -> Option<String> {
        let fresh = || format!("{:016x}", rand::random::<u64>());
        let session = ask.session.clone().unwrap_or_else(fresh);
        let (mac, named, at) = (ask.mac, session.clone(), base.to_owned());
        let claimed = self.on_disk(move |away| away.claim(mac, &named, &at)).await;
        // What is not written down is not served.
        let disk = || self.away.script(mac, base);
        let Ok(due) = claimed else {
            return Some(disk());
        };
        let due = due?;
        match self.tell_served(&due.nonce, &session, false).await {
            Told::Go => Some(due.script),
            Told::Over => None,
            Told::Lost => Some(disk()),
        }
    }

    /// A file of what only this helper serves.
    pub(super) async fn held_file(&self, ask: &NonceAsk) -> Option<NonceReply> {
        let (asked, base) = (ask.clone(), base_url(ask.at));
        let fetched = self.on_disk(move |away| {
            let session = asked.session.as_deref();
            away.fetch(&asked.nonce, &asked.name, session, asked.peek, &base)
        });
        let Ok(fetched) = fetched.await else {
            return Some(NonceReply::Unavailable);
        };
        Some(match fetched? {
            Fetched::Unknown => NonceReply::Unknown,
            Fetched::Gone(why) => NonceReply::Gone(why),
            Fetched::All { session, files } => {
                for (name, size) in files {
                    let piece = BootAsk::Received(whole(&ask.nonce, name, &session, size));
                    let _in_the_ledger = self.surely(piece, ANSWER).await;
                }
                NonceReply::Text("ok\n".to_owned())
            }
            Fetched::File {
                file,
                session,
                counts,
            } => match counts {
                true => match self.tell_served(&ask.nonce, &session, true).await {
                    Told::Go => self.file_here(file, session).await,
                    Told::Over => NonceReply::Gone("it is over".to_owned()),
                    Told::Lost => NonceReply::Unavailable,
                },
                false => self.file_here(file, session).await,
            },
        })
    }

    /// Bytes of such a file arrived.
    pub(super) async fn held_received(&self, file: &NonceReceived) {
        let is_ours = self.away.once(&file.nonce).is_some();
        let received = || self.received.lock().unwrap_or_else(PoisonError::into_inner);
        if is_ours && received().add(file) {
            let file = file.clone();
            // Not written down, it is told all the same, and the controller says that it is over.
            let _told = self
                .on_disk(move |away| away.sent(&file.nonce, &file.session, Some(&file.name)))
                .await;
        }
    }

    /// A booted system calls back. False: it could not be written down, and is to be said again.
    pub(super) async fn held_callback(&self, nonce: &str, failure: Option<&str>) -> bool {
        let (nonce, failure) = (nonce.to_owned(), failure.map(ToOwned::to_owned));
        let written = self.on_disk(move |away| away.callback(&nonce, failure.as_deref()));
        written.await.is_ok()
    }

    async fn tell_served(&self, nonce: &str, session: &str, fetched: bool) -> Told {
        let piece = BootAsk::Served(Served {
            nonce: nonce.to_owned(),
            session: session.to_owned(),
            fetched,
        });
        match self.surely(piece, SERVED).await {
            Ok(Some(BootAnswer::Served { go: false })) => {
                let nonce = nonce.to_owned();
                let _told_again = self.on_disk(move |away| away.ended(&nonce)).await;
                Told::Over
            }
            Ok(_) => Told::Go,
            Err(_) => Told::Lost,
        }
    }

    /// Work that waits for the disk.
    pub(super) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Away) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let away = Arc::clone(&self.away);
        let done = spawn_blocking(move || work(&away)).await;
        done.unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
    }
}

fn whole(nonce: &str, name: String, session: &str, size: u64) -> Received {
    Received {
        nonce: nonce.to_owned(),
        name,
        session: session.to_owned(),
        start: 0,
        end: size,
        size,
    }
}
