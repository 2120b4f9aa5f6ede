//! What a booting machine does to the store: claims, file fetches, evidence. Each is durable before its effect shows.

use std::net::IpAddr;

use mesh_proto::message::Secret;

use crate::state::{
    Changes, Timestamp, Transition, View, Write,
    activation::{Activation, Nonce, Stage, Step},
    boot::{BootRequest, Claim, Decision, armed_by_discovery, decide, not_its_address, unproved},
    config::{Asset, LOADED},
    machine::{DiscoveryBoot, Machine, MachineId},
    ops::{
        activations::{about, prune},
        job_ends::served,
        online::hand_over,
        taken::tell_owner,
    },
    overlay::Overlay,
    trust::secret::BootSecret,
};

/// The first boot of a client that knows no session.
const DIRECT: &str = "direct";

/// A machine asks for its script: decide, and claim what the answer hands out.
#[derive(Debug, Clone)]
pub struct ClaimBoot {
    /// Its question; `session` is set.
    pub request: BootRequest,
    /// Its id, should it be new.
    pub fresh_id: MachineId,
    /// Fresh random: the boot's secret, should it get one.
    pub fresh_secret: Secret,
    /// Fresh random: the name of an activation that discovery arms.
    pub fresh_nonce: Nonce,
}

impl Transition for ClaimBoot {
    type Outcome = Decision;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Decision) {
        let decision = decide(&self.request, view, now);
        match decision.claim {
            None => (Changes::none(), decision),
            Some(Claim::Discovery) => {
                let (changes, secret) = self.claim_discovery(view, now);
                (changes, Decision { secret, ..decision })
            }
            Some(Claim::DiscoveryConfig) => self.claim_discovery_config(view, decision, now),
            Some(Claim::Serve(id)) => {
                let (mut changes, secret) = self.claim_discovery(view, now);
                match served(view, id, self.session(), now, &mut changes) {
                    Ok(()) => (changes, Decision { secret, ..decision }),
                    // A cap was reached: what the machine boots now is decided without this job.
                    Err(()) => {
                        let decision = self.decide_after(view, &changes, now);
                        (changes, decision)
                    }
                }
            }
            Some(Claim::HandOver(id)) => {
                let mut changes = Changes::none();
                let how = "its local disk was served";
                hand_over(view, id, how, now, &mut changes);
                (changes, decision)
            }
            Some(Claim::Activation(id)) => {
                let step = view.activation(id).map_or(Step::Same, |a| {
                    let step = a.claim(self.session(), now);
                    step.at(a, self.request.known_address)
                });
                let mut changes = Changes::none();
                let over = matches!(step, Step::Over(_));
                record(step, view, &mut changes);
                // A cap was reached: what the machine boots now is decided without this activation.
                let decision = if over {
                    self.decide_after(view, &changes, now)
                } else {
                    decision
                };
                (changes, decision)
            }
        }
    }
}

impl ClaimBoot {
    fn session(&self) -> &str {
        self.request.session.as_deref().unwrap_or_default()
    }

    fn decide_after(&self, view: &View, changes: &Changes, now: Timestamp) -> Decision {
        let mut after = view.clone();
        changes.writes.iter().for_each(|w| after.absorb(w));
        decide(&self.request, &after, now)
    }

    /// Discovery starts a config: it is armed for the machine, which may be new, and then claimed as any other.
    fn claim_discovery_config(
        &self,
        view: &View,
        decision: Decision,
        now: Timestamp,
    ) -> (Changes, Decision) {
        let mut changes = Changes::none();
        let name = view.policy.discovery_boot.as_ref();
        let Some(config) = name.and_then(|name| view.config(name)) else {
            return (changes, decision);
        };
        let known = view.machine_by_mac(self.request.mac);
        let known = known.map(|m| Machine::clone(m));
        let mut machine =
            known.unwrap_or_else(|| Machine::seen(self.fresh_id.clone(), self.request.mac, now));
        machine.discovery = Some(DiscoveryBoot {
            at: now,
            session: self.session().to_owned(),
            secret: None,
        });
        let id = view.next_activation();
        let armed = armed_by_discovery(id, self.fresh_nonce.clone(), &machine.id, config, now);
        prune(view, &armed, &mut changes);
        let text = format!("discovery armed {} for {}", config.name, machine.name);
        changes.event(about("activation.armed", &armed, text));
        changes.write(machine);
        changes.write(armed.clone());
        let mut after = view.clone();
        changes.writes.iter().for_each(|w| after.absorb(w));
        record(armed.claim(self.session(), now), &after, &mut changes);
        let decision = self.decide_after(view, &changes, now);
        (changes, decision)
    }

    /// The management OS goes out. With a mesh it gets a secret, if the asker's address is known to be this station's;
    /// anyone else gets the script without, and what the station was given stays good.
    fn claim_discovery(&self, view: &View, now: Timestamp) -> (Changes, Option<Secret>) {
        let mut changes = Changes::none();
        let meshed = view.policy.mesh.is_some();
        if meshed && self.request.known_address.is_none() {
            return (changes, None);
        }
        let known = view
            .machine_by_mac(self.request.mac)
            .map(|m| Machine::clone(m));
        let mut machine =
            known.unwrap_or_else(|| Machine::seen(self.fresh_id.clone(), self.request.mac, now));
        if let Some(served) = machine.discovery.as_ref()
            && served.session == self.session()
        {
            return (changes, self.same_secret(served, now));
        }
        let secret = meshed.then(|| BootSecret {
            secret: self.fresh_secret.clone(),
            mac: self.request.mac,
            address: self.request.known_address,
            made_at: now,
            used: false,
        });
        let told = secret.as_ref().map(|s| s.secret.clone());
        machine.discovery = Some(DiscoveryBoot {
            at: now,
            session: self.session().to_owned(),
            secret,
        });
        changes.write(machine);
        (changes, told)
    }

    /// A retry of the same boot, from the same address, gets the same secret until it was used.
    fn same_secret(&self, served: &DiscoveryBoot, now: Timestamp) -> Option<Secret> {
        let made = served.secret.as_ref()?;
        let good =
            !made.used && !made.is_expired(now) && made.address == self.request.known_address;
        good.then(|| made.secret.clone())
    }
}

/// Writes a step's result down, with the event that tells it.
pub(super) fn record(step: Step, view: &View, changes: &mut Changes) {
    let (Step::Next(activation) | Step::Over(activation)) = step else {
        return;
    };
    let name = view.machine_name(&activation.machine);
    let config = &activation.config.name;
    let reason = activation.reason.clone().unwrap_or_default();
    let (boots, _) = activation.served();
    let before = view
        .activation(activation.id)
        .map(|a| (a.stage, a.sessions.len(), a.served().0));
    let told = match activation.stage {
        Stage::Armed => None,
        Stage::Served if before.is_some_and(|(_, n, _)| n == activation.sessions.len()) => {
            let fetches = before.is_some_and(|(_, _, fetched)| fetched < boots);
            fetches.then(|| {
                (
                    "activation.fetching",
                    format!("{name} fetches the files of {config} (boot {boots})"),
                )
            })
        }
        Stage::Served => Some((
            "activation.served",
            format!("{name} was given the script of {config}"),
        )),
        // The other NIC's files still arrive: nothing new.
        Stage::Running if before.is_some_and(|(stage, ..)| stage == Stage::Running) => None,
        Stage::Running => Some((
            "activation.running",
            format!("{name} has all files of {config} and starts it"),
        )),
        Stage::Confirmed => Some((
            "activation.confirmed",
            format!("{config} is done on {name}: {reason}"),
        )),
        Stage::Failed => Some((
            "activation.failed",
            format!("{config} failed on {name}: {reason}"),
        )),
        Stage::Expired => Some((
            "activation.expired",
            format!("{config} ended on {name}: {reason}"),
        )),
    };
    if let Some((kind, text)) = told {
        changes.event(about(kind, &activation, text));
    }
    tell_owner(&activation, view, changes);
    changes.write(Write::from(activation));
}

/// A request for a file under a nonce, before its first byte is sent.
#[derive(Debug, Clone)]
pub struct BeginFetch {
    /// Which activation.
    pub nonce: Nonce,
    /// Which file.
    pub name: String,
    /// Which boot; `None` when the client knows no session.
    pub session: Option<String>,
    /// Who asks.
    pub asker: IpAddr,
    /// Whether DHCP knows that address as one of the machine's now.
    pub is_its_address: bool,
}

/// What a nonce's file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchAnswer {
    /// A binary file, to be sent for this session.
    Asset(Asset, String),
    /// A text to be rendered for this activation.
    Answer(Box<Activation>, String),
    /// A file put together of texts that are rendered for this activation.
    Overlay(Box<Activation>, Overlay),
    /// The machine said that it has all files.
    Noted,
    /// The activation is closed, or a cap was just reached.
    Over(String),
    /// It is not for this asker, or not for the machine as it is now.
    Refused(String),
    /// No such nonce or file.
    Unknown,
}

impl Transition for BeginFetch {
    type Outcome = FetchAnswer;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, FetchAnswer) {
        let mut changes = Changes::none();
        let Some(activation) = view.activation_by_nonce(&self.nonce) else {
            return (changes, FetchAnswer::Unknown);
        };
        if !activation.is_due(now) {
            let reason = activation
                .reason
                .clone()
                .unwrap_or_else(|| "its time limit has passed".to_owned());
            return (changes, FetchAnswer::Over(reason));
        }
        if let Some(why) = self.refused(activation, view, now) {
            return (changes, FetchAnswer::Refused(why));
        }
        if let Some(text) = self.text(activation) {
            record(Step::Same.at(activation, self.known()), view, &mut changes);
            return (changes, text);
        }
        if self.name == LOADED {
            let session = self.session_of(activation);
            record(activation.loaded(&session, now), view, &mut changes);
            return (changes, FetchAnswer::Noted);
        }
        let Some(asset) = activation
            .config
            .program
            .assets()
            .find(|a| a.name == self.name)
        else {
            return (changes, FetchAnswer::Unknown);
        };
        let session = self.session_of(activation);
        let step = activation
            .begin_fetch(&session, now)
            .at(activation, self.known());
        let answer = match &step {
            Step::Over(closed) => FetchAnswer::Over(closed.reason.clone().unwrap_or_default()),
            Step::Same | Step::Next(_) => FetchAnswer::Asset(asset.clone(), session),
        };
        record(step, view, &mut changes);
        (changes, answer)
    }
}

impl BeginFetch {
    /// Why this asker gets nothing. A key can be revoked, and a machine disputed, while its boot is under way.
    fn refused(&self, activation: &Activation, view: &View, now: Timestamp) -> Option<String> {
        if let Some(holder) = activation.holder() {
            let name = view.machine_name(holder);
            return Some(format!("it is lent to {name}, which alone serves it"));
        }
        let machine = view.machine(&activation.machine);
        let unproved = machine.and_then(|m| unproved(view, m, &activation.config, now));
        unproved.or_else(|| not_its_address(activation, self.asker, self.is_its_address))
    }

    fn known(&self) -> Option<IpAddr> {
        self.is_its_address.then_some(self.asker)
    }

    /// What is filled in for the machine.
    fn text(&self, activation: &Activation) -> Option<FetchAnswer> {
        let own = || Box::new(activation.clone());
        if let Some(template) = activation.config.answers.get(&self.name) {
            return Some(FetchAnswer::Answer(own(), template.clone()));
        }
        let overlay = activation.config.overlays.get(&self.name)?;
        Some(FetchAnswer::Overlay(own(), overlay.clone()))
    }

    /// A client without a session belongs to the newest boot that had a script. Where no boot had one (a pixiecore asks
    /// for us) a file that the boot has already is asked for by the next boot.
    fn session_of(&self, activation: &Activation) -> String {
        if let Some(named) = self.session.as_ref().filter(|s| !s.is_empty()) {
            return named.clone();
        }
        match activation.sessions.last() {
            None => DIRECT.to_owned(),
            Some(last) if last.id.starts_with(DIRECT) && last.sent.contains(&self.name) => {
                format!("{DIRECT}-{}", activation.sessions.len() + 1)
            }
            Some(last) => last.id.clone(),
        }
    }
}

/// A file was sent whole: the client acknowledged its last byte.
#[derive(Debug, Clone)]
pub struct FileSent {
    /// Which activation.
    pub nonce: Nonce,
    /// Which file.
    pub name: String,
    /// To which boot.
    pub session: String,
}

impl Transition for FileSent {
    type Outcome = ();

    fn run(&self, view: &View, now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        if let Some(activation) = view.activation_by_nonce(&self.nonce) {
            record(
                activation.file_sent(&self.session, &self.name, now),
                view,
                &mut changes,
            );
        }
        (changes, ())
    }
}
