//! At the site where the machine boots: a peer's grant becomes an activation of ours, and its end is kept until the owner has
//! taken note of it.
//!
//! What a peer sends is checked as a person's config is, and harder: it is data, and each part has its limit.

use ipxe::MacAddr;
use mesh_proto::message::peer::{
    ClosedBy, Grant, GrantedFile, MAX_ANSWER_BYTES, MAX_ANSWERS, MAX_FILES, Outcome,
};

use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    activation::{Activation, Kind, Nonce, Stage},
    boot::due,
    config::{Asset, BootConfig, Evidence, Program},
    machine::{Machine, MachineId},
    ops::{
        activations::{about, prune},
        configs::check_names,
    },
    peer::{GRANT_LIVES, Outgoing, Peer, SiteName, Taken},
};

/// The longest kernel command line that Linux takes on any of our processors, bytes.
const MAX_CMDLINE: usize = 4096;
/// The largest file taken from a peer, bytes: live systems ship initrds above a gigabyte.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// A peer granted us a boot.
#[derive(Debug, Clone)]
pub struct TakeGrant {
    /// Which peer.
    pub site: SiteName,
    /// The machine that asks.
    pub mac: MacAddr,
    /// What was granted.
    pub grant: Grant,
    /// The machine's id, should it be new.
    pub fresh_id: MachineId,
}

impl Transition for TakeGrant {
    /// The activation, or why it is not taken.
    type Outcome = Result<Activation, String>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let taken = self.taken(view, now, &mut changes);
        (changes, taken)
    }
}

impl TakeGrant {
    fn taken(
        &self,
        view: &View,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<Activation, String> {
        let known = view.machine_by_mac(self.mac).map(|m| Machine::clone(m));
        let peer = view.peer(&self.site).map(AsRef::as_ref);
        self.allowed(peer, known.as_ref())?;
        let (nonce, config) = (nonce(&self.grant)?, config(&self.grant, now)?);
        let lives = i64::from(self.grant.lives_s).min(GRANT_LIVES.as_secs());
        let until = now + jiff::SignedDuration::from_secs(lives);
        let is_new = known.is_none();
        let machine = known.unwrap_or_else(|| Machine::seen(self.fresh_id.clone(), self.mac, now));
        if let Some(before) = view.activation_by_nonce(&nonce) {
            return self.again(before, &machine, until, changes);
        }
        if let Some(other) = due(view, &machine.id, now) {
            return Err(format!("{} is due here meanwhile", other.config.name));
        }
        let activation = self.armed(view, nonce, config, &machine, until, now);
        if is_new {
            changes.write(machine.clone());
        }
        prune(view, &activation, changes);
        let text = format!(
            "{} grants {} for {}",
            self.site, activation.config.name, machine.name
        );
        let told = about("activation.armed", &activation, text);
        changes.event(told.field("site", self.site.as_str()));
        changes.write(activation.clone());
        Ok(activation)
    }

    fn allowed(&self, peer: Option<&Peer>, machine: Option<&Machine>) -> Result<(), String> {
        if !peer.is_some_and(|p| p.may_boot_here(machine)) {
            return Err("it may not boot this machine here".to_owned());
        }
        let ours = machine.is_some_and(|m| m.standing.is_ours());
        if self.grant.writes_disk && !ours {
            return Err(
                "its config writes to a disk, and nobody registered this machine here".to_owned(),
            );
        }
        if self.grant.writes_disk && machine.is_some_and(|m| m.disputed.is_some()) {
            return Err("its config writes to a disk, and two claim to be this machine".to_owned());
        }
        Ok(())
    }

    /// The same grant once more: our answer to the machine, or the owner's to us, got lost; or its time here was over.
    fn again(
        &self,
        before: &Activation,
        machine: &Machine,
        until: Timestamp,
        changes: &mut Changes,
    ) -> Result<Activation, String> {
        let its = before.taken.as_ref().is_some_and(|t| t.site == self.site);
        if !its || before.machine != machine.id {
            return Err("it names an activation that is not its own".to_owned());
        }
        let stage = match before.stage {
            Stage::Armed | Stage::Served | Stage::Running => before.stage,
            Stage::Expired => Stage::Armed,
            Stage::Confirmed | Stage::Failed => {
                return Err("this boot is over here; the owner is told so".to_owned());
            }
        };
        let next = Activation {
            stage,
            until: Some(until),
            closed: None,
            reason: None,
            ..before.clone()
        };
        // A person here gave it back, but the owner wants it still.
        changes.write(Key::Outgoing(next.nonce.clone()));
        changes.write(next.clone());
        Ok(next)
    }

    fn armed(
        &self,
        view: &View,
        nonce: Nonce,
        config: BootConfig,
        machine: &Machine,
        until: Timestamp,
        now: Timestamp,
    ) -> Activation {
        Activation {
            id: view.next_activation(),
            nonce,
            machine: machine.id.clone(),
            config,
            kind: match self.grant.standing {
                true => Kind::Standing,
                false => Kind::OneShot,
            },
            selected: None,
            discovery: false,
            stage: Stage::Armed,
            sessions: Vec::new(),
            addresses: Vec::new(),
            taken: Some(Taken {
                site: self.site.clone(),
            }),
            given: None,
            lent: None,
            reason: None,
            until: Some(until),
            armed: now,
            closed: None,
        }
    }
}

fn nonce(grant: &Grant) -> Result<Nonce, String> {
    grant
        .nonce
        .parse()
        .map_err(|_| "its nonce is none".to_owned())
}

/// The config in a grant, every part checked.
fn config(grant: &Grant, now: Timestamp) -> Result<BootConfig, String> {
    let name = grant.config.parse();
    let name = name.map_err(|_| "its config has no name that could be one".to_owned())?;
    if grant.files.len() > MAX_FILES || grant.answers.len() > MAX_ANSWERS {
        return Err("it has too many files".to_owned());
    }
    let files: Vec<&str> = grant.files.iter().map(|f| f.name.as_str()).collect();
    let answers = grant.answers.iter().map(|a| a.name.as_str());
    check_names(&files.into_iter().chain(answers).collect::<Vec<_>>())?;
    if grant.answers.iter().map(|a| a.text.len()).sum::<usize>() > MAX_ANSWER_BYTES {
        return Err("its answer files are too long".to_owned());
    }
    if grant.cmdline.len() > MAX_CMDLINE {
        return Err(format!(
            "its command line is longer than {MAX_CMDLINE} bytes"
        ));
    }
    ipxe::check_text(&grant.cmdline).map_err(|e| format!("its command line {e}"))?;
    let evidence = match grant.closed_by {
        ClosedBy::Fetched => Evidence::Fetched,
        ClosedBy::Callback => Evidence::Callback,
        ClosedBy::Agent => Evidence::Agent,
    };
    let mut assets = grant.files.iter().map(asset);
    let kernel = assets.next().ok_or("it has no kernel")??;
    let program = Program::Kernel {
        kernel,
        initrds: assets.collect::<Result<_, _>>()?,
        cmdline: grant.cmdline.clone(),
    };
    let answers = grant.answers.iter();
    let answers = answers.map(|a| (a.name.clone(), a.text.clone())).collect();
    let config = BootConfig::new(name, program, answers, evidence);
    Ok(BootConfig {
        writes_disk: grant.writes_disk,
        updated: now,
        ..config
    })
}

fn asset(file: &GrantedFile) -> Result<Asset, String> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if file.sha256.len() != 64 || !file.sha256.bytes().all(hex) {
        return Err(format!("{} has no SHA-256 that could be one", file.name));
    }
    if !(1..=MAX_FILE_BYTES).contains(&file.size) {
        return Err(format!(
            "{} has {} bytes, which is not taken",
            file.name, file.size
        ));
    }
    Ok(Asset::kept(&file.name, &file.sha256, file.size))
}

/// The owner is to be told of what has just ended. What only outlived its time is not told: its owner knows that by itself.
pub(super) fn tell_owner(closed: &Activation, view: &View, changes: &mut Changes) {
    let Some(taken) = &closed.taken else {
        return;
    };
    let outcome = match closed.stage {
        Stage::Armed | Stage::Served | Stage::Running => return,
        Stage::Confirmed => Outcome::Confirmed,
        Stage::Failed => Outcome::Failed,
        Stage::Expired => Outcome::Released,
    };
    if !view.activation(closed.id).is_some_and(|a| a.is_open()) {
        return;
    }
    changes.write(Outgoing {
        nonce: closed.nonce.clone(),
        site: taken.site.clone(),
        outcome,
        reason: closed.reason.clone().unwrap_or_default(),
        since: closed.closed.unwrap_or(closed.armed),
    });
}

/// The owner has taken note of an end, or says that it knows of no such grant.
#[derive(Debug, Clone)]
pub struct Told(pub Nonce);

impl Transition for Told {
    type Outcome = ();

    fn run(&self, view: &View, _: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        if view.outgoing().any(|o| o.nonce == self.0) {
            changes.write(Key::Outgoing(self.0.clone()));
        }
        (changes, ())
    }
}
