//! The sequence that this program was made for, from a person's wish to the same person's mailbox, read from the record of
//! events alone.

use enforcer::state::deployment::{Save, State, Until};
use enforcer::state::event::Recorded;
use enforcer::state::machine::MachineId;
use enforcer::state::notify::Target;
use enforcer::state::ops::{CreateWebhook, OrderSpec};
use ipxe::{BootOffer, MacAddr};
use mesh_proto::message::Secret;

use crate::disk::{MIB, filled, written_over};
use crate::fuse::Fuse;
use crate::http::Receiving;
use crate::machine::{Boot, Machine};
use crate::site::Site;

/// An arrow: what it is called in the sequence, the kind of its event, and what stands in its fields.
type Arrow = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const SEQUENCE: &[Arrow] = &[
    (
        "schedule",
        "deployment.queued",
        &[("deployment", "1"), ("image", "debian@1")],
    ),
    ("handshake: registered MAC?", "boot.script-offered", &[]),
    (
        "management image",
        "boot.told",
        &[("plan", "management-os")],
    ),
    (
        "management image",
        "boot.management-os",
        &[("file", "amd64-generic/vmlinuz")],
    ),
    (
        "management image",
        "boot.management-os",
        &[("file", "amd64-generic/initrd.img")],
    ),
    (
        "handshake: its agent's key, which makes it accepted",
        "key.enrolled",
        &[],
    ),
    (
        "boot configuration: the first outstanding, registered as sent",
        "deployment.served",
        &[("deployment", "1"), ("state", "served")],
    ),
    (
        "upload disk",
        "deployment.capturing",
        &[("deployment", "1")],
    ),
    (
        "save",
        "deployment.captured",
        &[("deployment", "1"), ("saved", "web1-before@1")],
    ),
    ("image data", "deployment.fetching", &[("deployment", "1")]),
    ("image data", "deployment.writing", &[("deployment", "1")]),
    ("image data", "deployment.verifying", &[("deployment", "1")]),
    ("image data", "deployment.editing", &[("deployment", "1")]),
    ("image data", "deployment.written", &[("deployment", "1")]),
    ("reboot", "deployment.rebooting", &[("deployment", "1")]),
    ("reboot", "boot.script-offered", &[]),
    ("reboot", "deployment.handed-over", &[("deployment", "1")]),
    (
        "reboot: the new system speaks",
        "deployment.online",
        &[("deployment", "1")],
    ),
    (
        "user notified",
        "webhook.delivered",
        &[
            ("deployment", "1"),
            ("kind", "deployment.online"),
            ("webhook", "ann"),
        ],
    ),
];

/// Finds each arrow behind the one before it.
fn follow(events: &[Recorded]) -> Result<(), String> {
    let mut rest = events.iter();
    for (arrow, kind, fields) in SEQUENCE {
        let is_it = |event: &&Recorded| {
            let known = &event.draft.fields;
            event.draft.kind == *kind
                && fields
                    .iter()
                    .all(|(name, value)| known.get(*name).is_some_and(|v| v == value))
        };
        rest.find(is_it)
            .ok_or_else(|| format!("{arrow}: no {kind} {fields:?} comes next"))?;
    }
    Ok(())
}

/// Every event that no other of its kind can stand for is an arrow: without it the sequence breaks.
fn needs_each(events: &[Recorded]) {
    let kinds = |kind: &str| events.iter().filter(|e| e.draft.kind == kind).count();
    for (at, event) in events.iter().enumerate() {
        let kind = event.draft.kind.as_str();
        let arrows = SEQUENCE.iter().filter(|(_, wanted, _)| *wanted == kind);
        if arrows.count() == kinds(kind) {
            let mut without = events.to_vec();
            without.remove(at);
            assert!(follow(&without).is_err(), "{kind} is no arrow");
        }
    }
}

/// Ann is told how deployments come online.
fn subscribe(site: &Site, receiving: &Receiving) {
    let hook = CreateWebhook {
        name: "ann".parse().unwrap(),
        target: Target::Http {
            url: receiving.url.parse().unwrap(),
            secret: Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        },
        kinds: vec!["deployment.online".parse().unwrap()],
        machine: None,
        by: "ann".to_owned(),
    };
    site.apply(hook).unwrap();
}

/// The disk is saved and written; it is good when the new system speaks.
fn wish() -> OrderSpec {
    OrderSpec {
        image: Some("debian".parse().unwrap()),
        save_current: Some(Save {
            name: "web1-before".parse().unwrap(),
            used_blocks_only: false,
        }),
        until: Some(Until::Online {
            within_s: 600,
            probe: None,
        }),
        ..OrderSpec::default()
    }
}

/// The machine's events, and those of a station.
fn of(events: &[Recorded], machine: Option<&MachineId>, mac: MacAddr) -> Vec<Recorded> {
    let ours = |event: &&Recorded| {
        let draft = &event.draft;
        (machine.is_some() && draft.machine.as_ref() == machine) || draft.mac == Some(mac)
    };
    events.iter().filter(ours).cloned().collect()
}

#[test]
fn baas_sequence() {
    let site = Site::new();
    let receiving = Receiving::start();
    subscribe(&site, &receiving);
    let (before, image) = (filled(1, 20 * MIB), filled(2, 10 * MIB));
    let machine = Machine::new(&site, 1, &before, 512);
    site.upload("debian", &image, Default::default());
    let job = site.deploy("web1", wish());
    // A second wish: it is not the first outstanding one.
    let later = OrderSpec {
        save_current: None,
        ..wish()
    };
    let later = site.deploy("web1", later);
    // Somebody who is not registered shakes hands in vain.
    let stranger = Machine::stranger(site.folder(), 9, &before, 512);
    assert_eq!(stranger.asks_dhcp(&site), BootOffer::Silent);

    let Boot::Management(alive) = machine.powers_on(&site, &Fuse::none()) else {
        panic!("the management image comes first");
    };
    alive.restarts();
    assert!(machine.medium.content() == written_over(&before, &image));
    site.until(|view| (view.deployment(job.id)?.state == State::Rebooting).then_some(()));
    assert!(matches!(
        machine.powers_on(&site, &Fuse::none()),
        Boot::Disk
    ));
    machine.phones_home(&site, &job);
    let told = receiving.next();
    assert_eq!(told.body["type"], "deployment.online", "{told:?}");
    let delivered = |event: &Recorded| event.draft.kind == "webhook.delivered";
    site.until(|view| view.events_after(0).any(delivered).then_some(()));

    let events = site.events();
    let mine = of(&events, Some(&job.machine), machine.mac);
    follow(&mine).unwrap_or_else(|lost| {
        let story: Vec<_> = mine.iter().map(|e| &e.draft.kind).collect();
        panic!("{lost} in {story:#?}")
    });
    needs_each(&mine);
    let strange = of(&events, None, stranger.mac);
    let kinds: Vec<_> = strange.iter().map(|e| e.draft.kind.as_str()).collect();
    assert_eq!(kinds, ["machine.seen"], "that is all a stranger gets");
    assert_eq!(site.state(later.id), State::Queued);
    let saved = site.job(job.id).captured.clone().unwrap();
    let saved = site.view().image(&saved.image).unwrap().versions[0]
        .content
        .manifest;
    assert!(
        site.content(saved) == before,
        "what was saved is what was there"
    );
}
