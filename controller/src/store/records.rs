//! One record of each of the tables of mesh, notifications and jobs, for the store's own tests.

mod jobs;
mod people;

pub(super) use jobs::deployment;
use jobs::{image, rollout, setup};

use ipxe::MacAddr;
use mesh_proto::{
    facts::{Cpu, FACTS_VERSION, FirmwareMode, HardwareFacts, Memory, Smbios},
    message::{
        Secret,
        command::Command,
        enrol::{KeyKind, Level},
        job::Ability,
        link::Habitat,
        peer::Outcome,
    },
};

use crate::state::{
    Record, Timestamp,
    activation::Nonce,
    answered::{Answered, Made},
    command::{CommandId, CommandRecord, CommandStage},
    deployment::DeploymentId,
    event::{Draft, Event},
    facts::FactsRecord,
    machine::MachineId,
    member::{Member, MemberState},
    notify::{Delivery, DeliveryId, DeliveryStage, Target, Webhook},
    peer::{Invitation, NamedMacs, Outgoing, Peer, PeerState, SiteName},
    power::PowerSettings,
    provider::{ProviderKind, ProviderMember, Tags},
    rollout::RolloutId,
    trust::{
        Digest,
        key::{EnrolledKey, KeyState, ProvedBy, Serial},
        pending::Pending,
        ring::{GroupKey, KeyRing},
        stamp::Stamp,
        token::{JoinToken, TokenId, TokenScope},
    },
};

pub(super) fn key(machine: &MachineId, n: u128, boot_id: &str, now: Timestamp) -> EnrolledKey {
    EnrolledKey {
        serial: Serial::new(&format!("{n:032x}")),
        key: Digest::of(&n.to_be_bytes()),
        machine: machine.clone(),
        kind: KeyKind::Boot,
        level: Level::T1,
        proved: ProvedBy::BootSecret,
        boot_id: boot_id.to_owned(),
        code: None,
        issued: now,
        expires: now,
        state: KeyState::Live,
    }
}

pub(super) fn member(machine: &MachineId, generation: u32, now: Timestamp) -> Member {
    Member {
        machine: machine.clone(),
        generation,
        serial: Serial::new("01"),
        kind: KeyKind::Boot,
        level: Level::T1,
        boot_id: "boot".to_owned(),
        address: ([10, 0, 0, 9], 40_000).into(),
        gossip_port: Some(4849),
        agent: "0.1.0".to_owned(),
        habitat: Habitat::ManagementOs,
        facts_digest: "d".to_owned(),
        abilities: Ability::OURS.to_vec(),
        joined: now,
        state: MemberState::Alive,
        since: now,
        why: "its link speaks".to_owned(),
    }
}

fn facts() -> HardwareFacts {
    HardwareFacts {
        v: FACTS_VERSION,
        arch: "x86_64".to_owned(),
        firmware: FirmwareMode::Bios,
        secure_boot: None,
        tpm: None,
        smbios: Smbios {
            board_serial: Some("BOARD-7".to_owned()),
            ..Smbios::default()
        },
        cpu: Cpu::default(),
        memory: Memory::default(),
        nics: Vec::new(),
        disks: Vec::new(),
        pci: Vec::new(),
        kernel: None,
    }
}

fn provider_member(machine: &MachineId, now: Timestamp) -> ProviderMember {
    ProviderMember {
        provider: "lab".parse().unwrap(),
        kind: ProviderKind::Serf,
        node: format!("n {machine}").parse().unwrap(),
        address: Some([10, 0, 0, 9].into()),
        tags: Tags::of([("role".to_owned(), "web".to_owned())]),
        machine: Some(machine.clone()),
        state: MemberState::Down,
        since: now,
        why: "serf says: failed".to_owned(),
        joined: now,
    }
}

fn peers(now: Timestamp) -> [Record; 4] {
    let site: SiteName = "site-b".parse().unwrap();
    let ca_sha256 = Digest::of(b"ca");
    let peer = Peer {
        site: site.clone(),
        ca: "PEM".to_owned(),
        ca_sha256,
        addresses: vec![([10, 0, 0, 9], 4848).into()],
        may_ask: vec!["pool=web".parse().unwrap()],
        may_boot: vec!["rack=r1,!spare".parse().unwrap()],
        may_boot_unknown: true,
        may_see: vec!["pool=web".parse().unwrap()],
        gives_images: true,
        state: PeerState::Joined,
        by: "ann".to_owned(),
        since: now,
    };
    let invitation = Invitation {
        id: TokenId::from_random(8),
        secret_sha256: Digest::of(b"secret"),
        by: "ann".to_owned(),
        created: now,
        expires: now,
        used_by: Some((site.clone(), ca_sha256)),
    };
    let named = NamedMacs {
        site: site.clone(),
        macs: [MacAddr([2, 0, 0, 0, 0, 9])].into(),
    };
    let outgoing = Outgoing {
        nonce: Nonce::from_random(9),
        site,
        outcome: Outcome::Confirmed,
        reason: "all its files were fetched".to_owned(),
        since: now,
    };
    [
        Record::Peer(peer.into()),
        Record::Invitation(invitation.into()),
        Record::NamedMacs(named.into()),
        Record::Outgoing(outgoing.into()),
    ]
}

fn answered(now: Timestamp) -> Answered {
    Answered {
        name: Digest::of(b"name"),
        request: Digest::of(b"request"),
        at: now,
        made: Made::Deployments {
            ids: vec![DeploymentId(400)],
            rollout: Some(RolloutId(5)),
            refused: vec![("web2".to_owned(), "its disk is too small".to_owned())],
        },
    }
}

/// One of each, about this machine.
pub(crate) fn all(machine: &MachineId, now: Timestamp) -> Vec<Record> {
    let mut all = mesh(machine, now);
    all.extend([
        Record::Image(image(now).into()),
        Record::Deployment(deployment(machine, 400, now).into()),
        Record::Rollout(rollout(now).into()),
        Record::Setup(setup(now).into()),
        Record::Answered(answered(now).into()),
        Record::ProviderMember(provider_member(machine, now).into()),
    ]);
    all.extend(people::all(now));
    all.extend(peers(now));
    all
}

fn mesh(machine: &MachineId, now: Timestamp) -> Vec<Record> {
    let pending = Pending {
        key: Digest::of(b"pending"),
        serial: Serial::new("02"),
        kind: KeyKind::Installed,
        machine: machine.clone(),
        boot_id: "boot".to_owned(),
        agent: "0.1.0".to_owned(),
        from: [10, 0, 0, 9].into(),
        code: "1234-5678".to_owned(),
        facts: facts(),
        why: "nobody registered it".to_owned(),
        since: now,
        heard: now,
    };
    let token = JoinToken {
        id: TokenId::from_random(7),
        secret_sha256: Digest::of(b"secret"),
        scope: TokenScope::Machine {
            machine: machine.clone(),
        },
        by: "ann".to_owned(),
        created: now,
        expires: now,
        used_by: None,
        revoked: None,
    };
    let read = FactsRecord {
        machine: machine.clone(),
        facts: facts(),
        digest: facts().digest(),
        boot_id: "boot".to_owned(),
        at: now,
        history: Vec::new(),
    };
    let command = CommandRecord {
        id: CommandId(300),
        machine: machine.clone(),
        boot_id: "boot".to_owned(),
        command: Command::Identify { seconds: 5 },
        ttl_ms: 1_000,
        by: "ann".to_owned(),
        issued: now,
        stage: CommandStage::Sent,
        text: Some("on its way".to_owned()),
        settled: None,
    };
    let stamp = Stamp {
        newest: now,
        unconfirmed: Some(now),
    };
    let power = PowerSettings {
        machine: machine.clone(),
        address: "ipmi://ann@10.0.0.9".parse().unwrap(),
        secret: Some(Secret::new("s3cret")),
        set: Some(now),
    };
    let [webhook, delivery] = notifications(machine, now);
    vec![
        Record::Power(power.into()),
        webhook,
        delivery,
        Record::EnrolledKey(key(machine, 7, "boot", now).into()),
        Record::Pending(pending.into()),
        Record::Token(token.into()),
        Record::Facts(read.into()),
        Record::Member(member(machine, 3, now).into()),
        Record::Command(command.into()),
        Record::Ring(ring(now).into()),
        Record::Stamp(stamp),
    ]
}

fn notifications(machine: &MachineId, now: Timestamp) -> [Record; 2] {
    let webhook = Webhook {
        name: "ci".parse().unwrap(),
        target: Target::Http {
            url: "http://10.0.0.9/".parse().unwrap(),
            secret: Secret::new("whsec_"),
        },
        kinds: vec!["deployment.*".parse().unwrap()],
        machine: Some(machine.clone()),
        by: "ann".to_owned(),
        created: now,
        looked: 7,
        lost: 1,
    };
    let delivery = Delivery {
        id: DeliveryId(300),
        hook: webhook.name.clone(),
        event: Event {
            seq: 7,
            at: now,
            draft: Draft::new("deployment.online", "web1 is online").field("deployment", "3"),
        },
        machine_name: Some("web1".to_owned()),
        stage: DeliveryStage::Waiting { next: now },
        attempts: 2,
        since: now,
        last: Some("it answered 500".to_owned()),
    };
    [
        Record::Webhook(webhook.into()),
        Record::Delivery(delivery.into()),
    ]
}

fn ring(now: Timestamp) -> KeyRing {
    KeyRing {
        current: 1,
        keys: vec![GroupKey {
            epoch: 1,
            key: Secret::new("ab"),
            made: now,
            retired: Some(now),
        }],
        wanted: Some("a test".to_owned()),
    }
}
