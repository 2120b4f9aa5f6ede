//! A machine and its config as its helper is told of them: everything filled in but the helper's own address.

use std::collections::BTreeMap;

use ipxe::{LocalBoot, Surroundings};
use mesh_proto::message::{
    boot::{Program, StoredFile},
    delegation::{BASE, Delegated, DelegatedBoot, LIVES_S, Once, ServedBoot},
    peer::ClosedBy,
};

use crate::ordered::Gather as _;
use crate::state::{
    Timestamp, View, Write,
    activation::{Activation, Kind, MAX_BOOTS, MAX_SCRIPTS},
    boot::{BootRequest, Claim, decide},
    config::Evidence,
    machine::Machine,
    template::Scope,
};

/// A config that is written, but for how long it is good.
pub(super) struct Written(DelegatedBoot);

impl Written {
    pub(super) fn lives(self, lives_s: i64) -> DelegatedBoot {
        DelegatedBoot { lives_s, ..self.0 }
    }
}

/// A machine with what it boots.
pub(super) fn delegated(
    view: &View,
    machine: &Machine,
    rank: u8,
    boot: Option<DelegatedBoot>,
) -> Delegated {
    let local = local(view, machine);
    let local = serde_json::to_value(local).unwrap_or_default();
    Delegated {
        macs: machine.macs.iter().map(ToString::to_string).collect(),
        name: machine.name.to_string(),
        local: local.as_str().unwrap_or("auto").to_owned(),
        rank,
        boot,
    }
}

fn local(view: &View, machine: &Machine) -> LocalBoot {
    match machine.local_boot {
        LocalBoot::Auto => view.policy.local_boot,
        own => own,
    }
}

/// The standing config that the machine would boot now.
pub(super) fn standing(view: &View, machine: &Machine, now: Timestamp) -> Option<DelegatedBoot> {
    let (due, script) = served_now(view, machine, now)?;
    if due.kind != Kind::Standing {
        return None;
    }
    let left = due.until.map(|until| now.duration_until(until).as_secs());
    let written = written(view, due, machine, script, None)?;
    Some(written.lives(left.map_or(LIVES_S, |left| left.min(LIVES_S))))
}

/// A one-shot activation that is lent, if it is what the machine would boot now.
pub(super) fn once(
    view: &View,
    activation: &Activation,
    machine: &Machine,
    now: Timestamp,
) -> Option<Written> {
    // As if it were ours to serve.
    let mut free = view.clone();
    free.absorb(&Write::from(Activation {
        lent: None,
        ..activation.clone()
    }));
    let (due, script) = served_now(&free, machine, now)?;
    if due.id != activation.id {
        return None;
    }
    let served = due.sessions.iter().map(|s| ServedBoot {
        session: s.id.clone(),
        fetched: s.fetched,
    });
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let once = Once {
        closed_by: match due.config.evidence {
            Evidence::Fetched => ClosedBy::Fetched,
            Evidence::Callback => ClosedBy::Callback,
            Evidence::Agent => return None,
        },
        max_boots: number(MAX_BOOTS),
        max_scripts: number(MAX_SCRIPTS),
        served: served.collect(),
    };
    written(view, due, machine, script, Some(once))
}

/// The activation that the machine would be served now, and its script.
fn served_now<'v>(
    view: &'v View,
    machine: &Machine,
    now: Timestamp,
) -> Option<(&'v Activation, String)> {
    let request = BootRequest {
        mac: machine.main_mac()?,
        arch: None,
        session: None,
        after_management: false,
        base: BASE.to_owned(),
        known_address: None,
        controller: None,
        peers: Default::default(),
    };
    let decision = decide(&request, view, now);
    let Some(Claim::Activation(id)) = decision.claim else {
        return None;
    };
    let around = Surroundings {
        base: BASE,
        machine: machine.name.as_str(),
        local: decision.local,
    };
    let due = view.activation(id)?.as_ref();
    let is_given = due.given.as_ref().is_some_and(|g| now < g.until);
    let crosses = due.config.level.is_none() && due.taken.is_none() && !is_given;
    crosses.then(|| (due, ipxe::render(&decision.plan, around)))
}

fn written(
    view: &View,
    due: &Activation,
    machine: &Machine,
    script: String,
    once: Option<Once>,
) -> Option<Written> {
    Some(Written(DelegatedBoot {
        nonce: due.nonce.to_string(),
        script,
        files: files(due)?,
        texts: texts(view, due, machine)?,
        lives_s: 0,
        once,
    }))
}

/// Its boot files; none when one is not here.
fn files(due: &Activation) -> Option<Vec<Program>> {
    let files = due.config.program.assets().map(|asset| {
        let file = StoredFile {
            sha256: asset.sha256.clone()?,
            size: asset.size,
        };
        let name = asset.name.clone();
        Some(Program { name, file })
    });
    files.collect()
}

/// Its answer files, filled in; none when one cannot be, or when it needs an archive that is made for each fetch.
fn texts(view: &View, due: &Activation, machine: &Machine) -> Option<BTreeMap<String, String>> {
    if !due.config.overlays.is_empty() {
        return None;
    }
    let scope = Scope {
        machine,
        facts: view.facts(&machine.id).map(|f| &f.facts),
        base: BASE,
        nonce: &due.nonce,
    };
    let filled = due.config.answers.iter().map(|(name, template)| {
        let text = due.fill(template, &scope).map_err(drop)?;
        Ok((name.to_string(), text))
    });
    filled.try_gather::<_, ()>().ok()
}
