//! At the owner: what a peer may be offered, what it is granted, and how that ended.
//!
//! A grant is a claim like a boot's own: the same activation, the same nonce, the same caps. It is the peer's until its time is
//! over; its evidence is believed also later, since nobody else can have seen that boot.

use std::collections::BTreeSet;

use ipxe::{BootPlan, ConfigBoot, KernelBoot, MacAddr};
use mesh_proto::message::peer::{
    BASE, ClosedBy, Evidence, Grant, GrantedAnswer, GrantedFile, MAX_ANSWER_BYTES, MAX_ANSWERS,
    MAX_FILES, MAX_MACS, Outcome,
};

use crate::ordered::Gather as _;
use crate::state::{
    Changes, Timestamp, Transition, View,
    activation::{Activation, Kind, Nonce, Stage, Step},
    boot::{BootRequest, Claim, decide},
    config::{Asset, Evidence as ClosedOn, Program},
    event::Draft,
    ops::{boot::record, evidence::bounded, peers::about},
    peer::{GRANT_LIVES, Given, Peer, STANDING_GRANT_LIVES, SiteName},
    template::Scope,
};

/// So much longer a grant is held for the peer than the peer may serve it: what a question may be on its way.
const MARGIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(30);

/// What stands between an activation and another site.
fn crosses(activation: &Activation) -> Result<(), &'static str> {
    let config = &activation.config;
    let Program::Kernel {
        kernel, initrds, ..
    } = &config.program
    else {
        return Err("its config is an iPXE script, and scripts do not cross sites");
    };
    if config.level.is_some() {
        return Err("its config demands a proved key, and secrets do not cross sites");
    }
    if !config.overlays.is_empty() {
        return Err("its config has an overlay, which does not cross sites");
    }
    if initrds.len() >= MAX_FILES || config.answers.len() > MAX_ANSWERS {
        return Err("its config has too many files to cross sites");
    }
    let here = |a: &Asset| a.sha256.is_some();
    let all = here(kernel) && initrds.iter().all(here);
    all.then_some(()).ok_or("its files are not here")
}

/// The MACs that a peer is told we have something for.
#[must_use]
pub fn macs_for(view: &View, peer: &Peer, now: Timestamp) -> BTreeSet<MacAddr> {
    let mut macs = BTreeSet::new();
    for open in view.activations().filter(|a| a.is_due(now)) {
        let its_own = open.taken.as_ref().is_some_and(|t| t.site == peer.site);
        let Some(machine) = view.machine(&open.machine).filter(|_| !its_own) else {
            continue;
        };
        if peer.may_ask_for(machine) && crosses(open).is_ok() {
            macs.extend(&machine.macs);
        }
        if macs.len() > MAX_MACS {
            break;
        }
    }
    macs.into_iter().take(MAX_MACS).gather()
}

/// What a peer that asks would be granted now.
///
/// # Errors
/// Why there is nothing for it, in words that say no more than it may know.
pub fn offered<'v>(
    view: &'v View,
    site: &SiteName,
    request: &BootRequest,
    now: Timestamp,
) -> Result<&'v Activation, String> {
    found(view, site, request, now).map(|(activation, _)| activation)
}

fn found<'v>(
    view: &'v View,
    site: &SiteName,
    request: &BootRequest,
    now: Timestamp,
) -> Result<(&'v Activation, KernelBoot), String> {
    let machine = view.machine_by_mac(request.mac);
    let peer = view.peer(site);
    let may = |m| peer.is_some_and(|p| p.may_ask_for(m));
    if !machine.is_some_and(|m| may(m)) {
        return Err(format!("{site} may not ask about this machine"));
    }
    let decision = decide(request, view, now);
    let BootPlan::Config(ConfigBoot::Kernel(kernel)) = decision.plan else {
        return Err("nothing that crosses sites is due for it".to_owned());
    };
    let due = match decision.claim {
        Some(Claim::Activation(id)) => view.activation(id),
        _ => None,
    };
    let due = due.ok_or("nothing is due for it")?;
    crosses(due)?;
    match &due.given {
        Some(given) if given.site != *site && now < given.until => {
            Err(format!("{} is granted to another site", due.config.name))
        }
        _ => Ok((due, kernel)),
    }
}

/// A peer claims what it was offered.
#[derive(Debug, Clone)]
pub struct GrantBoot {
    /// Which peer.
    pub site: SiteName,
    /// Its question as ours; `session` is set, `base` is [`BASE`].
    pub request: BootRequest,
}

impl Transition for GrantBoot {
    /// The grant, or why there is none.
    type Outcome = Result<Box<Grant>, String>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let granted = self.granted(view, now, &mut changes);
        (changes, granted)
    }
}

impl GrantBoot {
    fn granted(
        &self,
        view: &View,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<Box<Grant>, String> {
        let (due, kernel) = found(view, &self.site, &self.request, now)?;
        let session = self.request.session.as_deref().unwrap_or_default();
        let mut next = match due.claim(session, now) {
            Step::Same => due.clone(),
            Step::Next(next) => next,
            Step::Over(closed) => {
                let reason = closed.reason.clone().unwrap_or_default();
                record(Step::Over(closed), view, changes);
                return Err(reason);
            }
        };
        let lives = match due.kind {
            Kind::OneShot => GRANT_LIVES,
            Kind::Standing => STANDING_GRANT_LIVES,
        };
        let grant = written(&next, kernel, lives, view)?;
        if due.given.as_ref().is_none_or(|g| g.site != self.site) {
            let text = format!(
                "{} of activation {} is granted to {}",
                due.config.name, due.id.0, self.site
            );
            changes.event(granted_event(due, &self.site, text));
        }
        next.given = Some(Given {
            site: self.site.clone(),
            until: now + lives + MARGIN,
        });
        record(Step::Next(next), view, changes);
        Ok(Box::new(grant))
    }
}

fn granted_event(due: &Activation, site: &SiteName, text: String) -> Draft {
    about("activation.granted", site, text)
        .machine(&due.machine)
        .field("activation", due.id.0.to_string())
}

/// The activation as its peer is told of it.
fn written(
    due: &Activation,
    kernel: KernelBoot,
    lives: jiff::SignedDuration,
    view: &View,
) -> Result<Grant, String> {
    let machine = view.machine(&due.machine).ok_or("its machine is gone")?;
    let facts = view.facts(&machine.id).map(|f| &f.facts);
    let scope = Scope {
        machine,
        facts,
        base: BASE,
        nonce: &due.nonce,
    };
    let mut answers = Vec::new();
    for (name, template) in &due.config.answers {
        let text = due.fill(template, &scope);
        answers.push(GrantedAnswer {
            name: name.clone(),
            text: text.map_err(|e| format!("{name}: {e}"))?,
        });
    }
    if answers.iter().map(|a| a.text.len()).sum::<usize>() > MAX_ANSWER_BYTES {
        return Err("its answer files are too long to cross sites".to_owned());
    }
    let file = |asset: &Asset| {
        Some(GrantedFile {
            name: asset.name.clone(),
            sha256: asset.sha256.clone()?,
            size: asset.size,
        })
    };
    let files: Option<Vec<_>> = due.config.program.assets().map(file).collect();
    Ok(Grant {
        nonce: due.nonce.to_string(),
        config: due.config.name.to_string(),
        standing: due.kind == Kind::Standing,
        writes_disk: due.config.writes_disk,
        closed_by: match due.config.evidence {
            ClosedOn::Fetched => ClosedBy::Fetched,
            ClosedOn::Callback => ClosedBy::Callback,
            ClosedOn::Agent => ClosedBy::Agent,
        },
        files: files.ok_or("its files are not here")?,
        cmdline: kernel.cmdline,
        answers,
        lives_s: u32::try_from(lives.as_secs()).unwrap_or(u32::MAX),
    })
}

/// The file that a peer asks for by its grant; `None` when that is not its.
#[must_use]
pub fn granted_file<'v>(
    view: &'v View,
    site: &SiteName,
    nonce: &Nonce,
    index: u32,
) -> Option<(&'v Activation, &'v Asset)> {
    let activation = view.activation_by_nonce(nonce)?;
    let its = activation.given.as_ref().is_some_and(|g| g.site == *site);
    let asset = activation.config.program.assets().nth(index as usize)?;
    (its && activation.is_open()).then_some((activation, asset))
}

/// A peer says how what it was granted ended.
#[derive(Debug, Clone)]
pub struct TakeEvidence {
    /// Which peer.
    pub site: SiteName,
    /// What it says.
    pub evidence: Evidence,
}

impl Transition for TakeEvidence {
    /// Whether it was granted that; once told is told for good.
    type Outcome = bool;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, bool) {
        let mut changes = Changes::none();
        let nonce = self.evidence.nonce.parse::<Nonce>().ok();
        let activation = nonce.and_then(|n| view.activation_by_nonce(&n).cloned());
        let its = |a: &Activation| a.given.as_ref().is_some_and(|g| g.site == self.site);
        let Some(activation) = activation.filter(|a| its(a)) else {
            return (changes, false);
        };
        if !activation.is_open() {
            return (changes, true);
        }
        let said = format!("{}: {}", self.site, bounded(&self.evidence.reason));
        let stage = match self.evidence.outcome {
            Outcome::Released => {
                let mut back = Activation::clone(&activation);
                back.given = None;
                let text = format!("{} is given back by {said}", back.config.name);
                changes.event(granted_event(&back, &self.site, text));
                changes.write(back);
                return (changes, true);
            }
            Outcome::Confirmed if activation.kind == Kind::OneShot => Stage::Confirmed,
            Outcome::Failed if activation.kind == Kind::OneShot => Stage::Failed,
            // Nothing but a person closes these.
            Outcome::Confirmed | Outcome::Failed => return (changes, true),
        };
        record(
            Step::Over(activation.close(stage, said, now)),
            view,
            &mut changes,
        );
        (changes, true)
    }
}
