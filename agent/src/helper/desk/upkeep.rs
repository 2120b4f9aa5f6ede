//! What a helper does beside answering: it looks for what there is to serve, and tells what happened.

use std::{sync::Arc, time::Duration};

use mesh_proto::message::{
    RefusalCode,
    boot::{BootAnswer, BootAsk, Program},
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{ANSWER, Desk, Programs};
use crate::helper::line::NoAnswer;

/// Notes that come together travel together.
const GATHER: Duration = Duration::from_millis(200);
/// How often it is looked at what there is to serve, and after a failure.
const LOOK: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_secs(3);
/// Time for what was kept to be told before a machine's question: it waits for its script.
const CATCH_UP: Duration = Duration::from_secs(1);

impl Desk {
    /// Keeps what is served up to date, and tells what happened, until `stop`.
    pub(in crate::helper) async fn keep_up(self: Arc<Self>, stop: CancellationToken) {
        tokio::select! {
            () = self.keep_looking() => {}
            () = self.keep_telling() => {}
            () = self.keep_sending() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn keep_looking(&self) {
        self.use_kept_programs().await;
        loop {
            let rest = match self.look_for_programs().await && self.look_for_delegation().await {
                true => LOOK,
                false => LOOK_AGAIN,
            };
            tokio::select! {
                () = sleep(rest) => {}
                () = self.line.changed() => {}
                () = self.look.notified() => {}
            }
        }
    }

    /// Boot programs of an earlier run: enough to serve when the controller is away from the start.
    async fn use_kept_programs(&self) {
        let mut have = Programs::default();
        for Program { name, file } in self.away.kept_programs() {
            if let Some(file) = self.cache.kept(&file).await {
                have.0.insert(name, file);
            }
        }
        if !have.0.is_empty() {
            *self.programs() = have;
            self.has_programs.send_replace(true);
        }
    }

    /// Gets the programs that are not here yet. Says whether all are.
    async fn look_for_programs(&self) -> bool {
        let asked = self.line.ask(BootAsk::Programs, ANSWER).await;
        let Ok(BootAnswer::Programs { programs }) = asked else {
            return false;
        };
        let (mut have, mut all) = (Programs::default(), true);
        for Program { name, file } in &programs {
            match self.stored(file).await {
                Some(file) => drop(have.0.insert(name.clone(), file)),
                None => all = false,
            }
        }
        *self.programs() = have;
        self.has_programs.send_replace(true);
        let kept = self.on_disk(move |away| away.keep_programs(&programs));
        kept.await.is_ok() && all
    }

    /// Asks what this helper may answer by itself, and gets the files for it. Says whether all is here.
    async fn look_for_delegation(&self) -> bool {
        if !self.caught_up().await {
            return false;
        }
        let signed = match self.line.ask(BootAsk::Delegation, ANSWER).await {
            Ok(BootAnswer::Delegation(signed)) => signed,
            // A controller of an earlier release delegates nothing.
            Err(NoAnswer::Refused(_)) => return true,
            Ok(_) | Err(NoAnswer::Away) => return false,
        };
        let own = self.own.borrow().clone();
        let Some(own) = own else { return false };
        let taken = self.on_disk(move |away| away.take(&signed, &own));
        let Ok(files) = taken.await else {
            return false;
        };
        let mut all = true;
        for file in files {
            all &= self.stored(&file).await.is_some();
        }
        all
    }

    async fn keep_telling(&self) {
        loop {
            self.line.noted().await;
            sleep(GATHER).await;
            self.line.tell().await;
        }
    }

    async fn keep_sending(&self) {
        loop {
            self.send_kept().await;
            tokio::select! { () = sleep(LOOK_AGAIN) => {} () = self.line.changed() => {} }
        }
    }

    /// Whether the controller knows all that happened here.
    pub(super) async fn caught_up(&self) -> bool {
        if !self.outbox.is_empty() {
            let _in_time = timeout(CATCH_UP, self.send_kept()).await;
        }
        self.outbox.is_empty()
    }

    /// Sends what was kept while the controller was away, oldest first.
    async fn send_kept(&self) {
        let _one_after_another = self.sending.lock().await;
        while !self.outbox.is_empty()
            && let Some((number, piece)) = self.outbox.oldest()
        {
            let served = match &piece {
                BootAsk::Served(served) => Some(served.nonce.clone()),
                _ => None,
            };
            match self.line.ask(piece, ANSWER).await {
                Ok(BootAnswer::Served { go: false }) => {
                    if let Some(nonce) = served {
                        let _told_again = self.on_disk(move |away| away.ended(&nonce)).await;
                    }
                }
                // What the controller will never take must not hold up the rest.
                Ok(_) => {}
                Err(NoAnswer::Refused(no)) if no.code != RefusalCode::Busy => {}
                Err(_) => return,
            }
            if self.outbox.told(number).is_err() {
                return;
            }
        }
    }
}
