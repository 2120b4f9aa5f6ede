//! Records of images and what is done with them.

use mesh_proto::message::job::PartitionRule;

use crate::state::{
    Timestamp,
    activation::Nonce,
    deployment::{Deployment, DeploymentId, Moment, Order, State, Until},
    image::{Content, Image, Origin, Pinned, Version, Visibility},
    machine::MachineId,
    rollout::{Rollout, RolloutId},
    setup::{Setup, SetupItem},
    trust::token::TokenId,
};

pub(super) fn image(now: Timestamp) -> Image {
    let content = Content {
        manifest: ::image::ChunkId::of(b"manifest"),
        size: 1 << 30,
        sector_size: 512,
        chunk_size: 1 << 20,
        data_bytes: 1 << 20,
        new_bytes: 1 << 10,
    };
    let version = Version {
        number: 3,
        content,
        created: now,
        origin: Origin::Upload {
            by: "ann".to_owned(),
            id: Some("u".to_owned()),
        },
        note: Some("a test's".to_owned()),
    };
    Image {
        name: "debian".parse().unwrap(),
        owner: Some("ann".parse().unwrap()),
        visibility: Visibility::Private,
        versions: vec![version],
        next: 4,
        created: now,
    }
}

/// A deployment at work, with a number in it.
pub(in crate::store) fn deployment(machine: &MachineId, n: u32, now: Timestamp) -> Deployment {
    let image = image(now);
    Deployment {
        id: DeploymentId(400),
        nonce: Nonce::from_random(400),
        machine: machine.clone(),
        place: -7,
        by: "ann".to_owned(),
        order: Order {
            disk: Default::default(),
            partition: Some(PartitionRule::Number(3)),
            save_current: None,
            erase: None,
            image: Some(Pinned::of(&image, &image.versions[0])),
            grow: true,
            provision: Vec::new(),
            join: true,
            after: Default::default(),
            until: Until::Online {
                within_s: 600,
                probe: None,
            },
            roll_back: false,
            when: Default::default(),
        },
        part: None,
        created: now,
        state: State::Writing,
        since: now,
        reason: None,
        tries: n,
        boots: 2,
        session: Some("s".to_owned()),
        captured: None,
        written: None,
        token: Some(TokenId::from_random(7)),
        taken_by: None,
        switched: None,
        deadline: Some(now),
        history: vec![Moment {
            state: State::Queued,
            at: now,
        }],
    }
}

pub(super) fn rollout(now: Timestamp) -> Rollout {
    Rollout {
        id: RolloutId(5),
        selector: "pool=web".to_owned(),
        by: "ann".to_owned(),
        limit: 2,
        max_failures: Some(1),
        forgiven: 1,
        paused_by: Some("ann".to_owned()),
        deployments: vec![DeploymentId(400)],
        created: now,
    }
}

pub(super) fn setup(now: Timestamp) -> Setup {
    Setup {
        name: "pair".parse().unwrap(),
        owner: None,
        items: vec![SetupItem {
            image: "debian@3".parse().unwrap(),
            disk: Default::default(),
            partition: Some("home".parse().unwrap()),
            grow: false,
        }],
        note: None,
        revision: 2,
        updated: now,
    }
}
