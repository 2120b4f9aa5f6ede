//! What a person says about machines: the word is written down, then streams and links hear of it.

use std::sync::Arc;

use futures_util::FutureExt as _;
use mesh_net::CloseCode;
use mesh_proto::{
    message::{Refusal, RefusalCode, link::VerdictState},
    pairing::PairingCode,
};

use super::{Inner, Mesh, lock};
use crate::{
    state::{
        machine::{Machine, MachineId},
        member::{Member, MemberState},
        ops::{
            AcceptError, AcceptMachine, Changed, DeleteMachine, Held, Keep, LinkVerdict,
            MachineError, MachineRef, OnMachine, RefuseMachine, ResolveDispute, RevokeKeys,
            Unchanged,
        },
        trust::{Digest, key::Serial},
    },
    store::StoreError,
};

/// What the store says, then what the state says.
type Said<T, E> = Result<Result<T, E>, StoreError>;

impl Mesh {
    /// Accepts a machine, and with it the key that waits; `code` is what a person compared.
    ///
    /// # Errors
    /// As the store says.
    pub async fn accept(
        &self,
        machine: MachineRef,
        code: Option<PairingCode>,
        by: &str,
    ) -> Said<Machine, AcceptError> {
        let by = by.to_owned();
        let accepted = self
            .0
            .store
            .apply(AcceptMachine { machine, code, by })
            .await?;
        Ok(accepted.map(|accepted| {
            self.0.turn_away(&accepted.turned_away);
            if let Some(grant) = &accepted.grant
                && let Some((spki, tell)) = lock(&self.0.waiting).take(&grant.key.key)
            {
                // Who went away meanwhile asks again, and finds its key enrolled.
                let _gone = tell.send(self.0.issue(grant, &spki));
            }
            let (inner, id) = (Arc::clone(&self.0), accepted.machine.id.clone());
            self.0.work.spawn(
                async move {
                    inner.go_on(&id).await;
                    // What waited for this word may begin.
                    inner.tell_of_jobs(&id).await;
                }
                .boxed(),
            );
            accepted.machine
        }))
    }

    /// Says that a machine is not ours: its keys end at once.
    ///
    /// # Errors
    /// As the store says.
    pub async fn refuse(&self, machine: MachineRef, by: &str) -> Said<(), AcceptError> {
        let found = machine.find(&self.0.store.view()).map(|m| m.id.clone());
        let by = by.to_owned();
        let refused = self.0.store.apply(RefuseMachine { machine, by }).await?;
        Ok(refused.map(|refused| {
            self.0.turn_away(&refused.turned_away);
            self.0.cut_off(found.as_ref(), &refused.revoked);
        }))
    }

    /// Ends a dispute.
    ///
    /// # Errors
    /// As the store says.
    pub async fn resolve(
        &self,
        machine: MachineRef,
        keep: Keep,
        by: &str,
    ) -> Said<(), AcceptError> {
        let found = machine.find(&self.0.store.view()).map(|m| m.id.clone());
        let by = by.to_owned();
        let resolved = self
            .0
            .store
            .apply(ResolveDispute { machine, keep, by })
            .await?;
        Ok(resolved.map(|revoked| {
            self.0.cut_off(found.as_ref(), &revoked);
            // What waited for this word may begin.
            if let Some(machine) = found {
                self.0.nudge(&machine);
            }
        }))
    }

    /// Revokes all keys of a machine.
    ///
    /// # Errors
    /// As the store says.
    pub async fn revoke(&self, machine: MachineRef, reason: String) -> Said<usize, AcceptError> {
        let found = machine.find(&self.0.store.view()).map(|m| m.id.clone());
        let revoked = self.0.store.apply(RevokeKeys { machine, reason }).await?;
        Ok(revoked.map(|revoked| {
            self.0.cut_off(found.as_ref(), &revoked);
            revoked.len()
        }))
    }

    /// Forgets a machine with all that is known about it, as `delete` says.
    ///
    /// # Errors
    /// As the store says.
    pub async fn forget(
        &self,
        machine: &MachineRef,
        delete: Unchanged<OnMachine<DeleteMachine>>,
    ) -> Said<Result<Result<(), MachineError>, Held>, Changed> {
        let view = self.0.store.view();
        let id = machine.find(&view).map(|m| m.id.clone());
        let keys: Vec<Serial> = id
            .iter()
            .flat_map(|id| view.live_keys_of(id))
            .map(|k| k.serial.clone())
            .collect();
        let waiting: Vec<Digest> = id
            .iter()
            .flat_map(|id| view.pending_of(id))
            .map(|p| p.key)
            .collect();
        let forgotten = self.0.store.apply(delete).await?;
        if matches!(forgotten, Ok(Ok(Ok(())))) {
            self.0.turn_away(&waiting);
            self.0.cut_off(id.as_ref(), &keys);
            if let Some(id) = id {
                let logs = self.0.logs.clone();
                let removed = tokio::task::spawn_blocking(move || logs.forget(&id)).await;
                if let Ok(Err(error)) = removed {
                    tracing::warn!(%error, "the logs of a forgotten machine could not be removed");
                }
            }
        }
        Ok(forgotten)
    }
}

impl Inner {
    /// Refuses the streams of waiting keys.
    fn turn_away(&self, keys: &[Digest]) {
        for key in keys {
            if let Some((_, tell)) = lock(&self.waiting).take(key) {
                let text = "a person said no to this key";
                let _gone = tell.send(Err(Refusal::new(RefusalCode::RefusedByPerson, text)));
            }
        }
    }

    /// A member without a key is none: it does not stand in the way of one that enrols anew.
    async fn judge_revoked(&self, member: &Member) {
        let verdict = LinkVerdict {
            machine: member.machine.clone(),
            generation: member.generation,
            state: MemberState::Down,
            why: "its key was revoked".to_owned(),
        };
        if let Err(error) = self.store.apply(verdict).await {
            tracing::warn!(%error, "a verdict could not be written down");
        }
    }

    /// Nothing that these keys say counts from now on: links close, the others are told, the group key changes.
    fn cut_off(self: &Arc<Self>, machine: Option<&MachineId>, serials: &[Serial]) {
        if serials.is_empty() {
            return;
        }
        lock(&self.links).close(serials, CloseCode::Revoked, "the key was revoked");
        if let Some(member) = machine.and_then(|id| self.store.view().member(id).cloned()) {
            let node = member.machine.node();
            lock(&self.life).forget(node);
            self.spread(&[(node, member.generation, VerdictState::Revoked)]);
            let inner = Arc::clone(self);
            self.work
                .spawn(async move { inner.judge_revoked(&member).await }.boxed());
        }
        self.ring.notify_one();
    }
}
