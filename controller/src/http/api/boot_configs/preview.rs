//! What a machine would be served, without serving it.

use std::collections::BTreeMap;

use ipxe::{BootPlan, LocalBoot, MacAddr};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    boot::script_of,
    http::error::{Code, Problem},
    ordered::Gather as _,
    state::{
        Timestamp, View,
        activation::{Activation, Kind, Nonce, Stage},
        boot::{Decision, config_boot},
        config::BootConfig,
        machine::Machine,
        overlay::{Content, Overlay, OverlayFile},
        template::Scope,
    },
};

/// What a machine would be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Preview)]
pub struct PreviewDoc {
    /// The iPXE script, byte for byte. When nothing is armed its nonce is all zeros.
    pub script: String,
    /// The answer files.
    pub answers: BTreeMap<String, String>,
    /// What files that are put together of answers hold: `path: answer`, `path -> target` for a link.
    pub overlays: BTreeMap<String, Vec<String>>,
}

/// Renders `config` for `machine` the way a boot does.
pub(super) fn preview(
    config: &BootConfig,
    machine: &Machine,
    view: &View,
    base: &str,
) -> Result<PreviewDoc, Problem> {
    let invalid = |words: String| Problem::new(Code::ConfigInvalid, words);
    let activation = activation(config, machine, view);
    let facts = view.facts(&machine.id).map(|f| &f.facts);
    let boot = config_boot(&activation, machine, facts, base).map_err(invalid)?;
    let decision = Decision {
        plan: BootPlan::Config(boot),
        local: local(machine, view),
        why: Vec::new(),
        machine: Some(machine.id.clone()),
        claim: None,
        secret: None,
    };
    let mac = machine.main_mac().unwrap_or(MacAddr([0; 6]));
    let scope = Scope {
        machine,
        facts,
        base,
        nonce: &activation.nonce,
    };
    let answer = |(name, template): (&String, &String)| {
        let text = scope
            .render(template)
            .map_err(|e| invalid(format!("{name}: {e}")))?;
        Ok((name.clone(), text))
    };
    Ok(PreviewDoc {
        script: script_of(&decision, view, mac, base),
        answers: config
            .answers
            .iter()
            .map(answer)
            .try_gather::<_, Problem>()?,
        overlays: config.overlays.iter().map(listed).gather(),
    })
}

fn listed((name, overlay): (&String, &Overlay)) -> (String, Vec<String>) {
    let line = |file: &OverlayFile| match &file.content {
        Content::Answer { name, .. } => format!("{}: {name}", file.path),
        Content::Link { target } => format!("{} -> {target}", file.path),
    };
    (name.clone(), overlay.files.iter().map(line).collect())
}

fn local(machine: &Machine, view: &View) -> LocalBoot {
    match machine.local_boot {
        LocalBoot::Auto => view.policy.local_boot,
        own => own,
    }
}

/// The open activation of this very revision, else one that would be armed now.
fn activation(config: &BootConfig, machine: &Machine, view: &View) -> Activation {
    let armed = view
        .activations_of(&machine.id)
        .find(|a| a.is_open() && a.config == *config);
    armed.map_or_else(
        || Activation {
            id: view.next_activation(),
            nonce: Nonce::from_random(0),
            machine: machine.id.clone(),
            config: config.clone(),
            kind: Kind::OneShot,
            selected: None,
            discovery: false,
            stage: Stage::Armed,
            sessions: Vec::new(),
            addresses: Vec::new(),
            taken: None,
            given: None,
            lent: None,
            reason: None,
            until: None,
            armed: Timestamp::UNIX_EPOCH,
            closed: None,
        },
        |a| Activation::clone(a),
    )
}
