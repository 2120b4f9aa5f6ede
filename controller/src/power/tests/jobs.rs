//! Claims about machines that are started for their jobs, against the same simulators.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::state::{
    View,
    activation::Nonce,
    deployment::{DeploymentId, State, words::next_step},
    image::Content,
    ops::{CreateDeployment, OrderSpec, SaveVersion},
};

/// What never comes fails a test instead of hanging it.
const PATIENCE: Duration = Duration::from_secs(60);

/// `debian@1` is queued for web1.
async fn queued(power: &Power) -> DeploymentId {
    let content = Content {
        manifest: ::image::ChunkId::of(b"debian"),
        size: 1 << 30,
        sector_size: 512,
        chunk_size: 1 << 20,
        data_bytes: 1 << 20,
        new_bytes: 1 << 20,
    };
    let save = SaveVersion {
        name: "debian".parse().unwrap(),
        content,
        by: "ann".to_owned(),
        upload: None,
        owner: None,
        visibility: None,
        note: None,
    };
    power.store.apply(save).await.unwrap().unwrap();
    let create = CreateDeployment {
        machine: MachineRef("web1".to_owned()),
        order: OrderSpec {
            image: Some("debian".parse().unwrap()),
            ..OrderSpec::default()
        },
        by: "ann".to_owned(),
        nonce: Nonce::from_random(7),
    };
    let created = power.store.apply(create).await.unwrap().unwrap();
    created.deployment.id
}

/// Waits until the store shows this.
async fn until(power: &Power, holds: impl Fn(&View) -> bool) {
    let mut newest = power.store.subscribe();
    let seen = async {
        while !holds(&power.store.view()) {
            newest.changed().await.unwrap();
        }
    };
    timeout(PATIENCE, seen).await.unwrap();
}

fn told(view: &View, kind: &str) -> usize {
    view.events_after(0)
        .filter(|e| e.draft.kind == kind)
        .count()
}

/// A machine that is off comes on when its deployment is queued, and is not switched again while it starts.
async fn is_started_for_its_job(address: &str) {
    let (power, machine) = site(address, PASSWORD).await;
    assert_eq!(
        does(&power, &machine, PowerAction::Off).await,
        PowerState::Off
    );
    let stop = CancellationToken::new();
    let keeping = tokio::spawn(power.clone().keep_starting(stop.clone()));
    let id = queued(&power).await;
    until(&power, |view| told(view, "power.cycle") == 1).await;
    assert_eq!(
        does(&power, &machine, PowerAction::Status).await,
        PowerState::On
    );
    let view = power.store.view();
    let job = view.deployment(id).unwrap();
    assert_eq!(job.state, State::Queued, "until it asks for its script");
    let next = next_step(&view, job, power.store.now());
    assert!(next.contains("started it"), "{next}");
    let event = view.events_after(0).last().unwrap();
    assert!(
        event
            .draft
            .text
            .contains("deployment 1: power cycle for web1"),
        "{event:?}"
    );
    // Two more looks at the queues.
    tokio::time::sleep(Duration::from_millis(2200)).await;
    assert_eq!(told(&power.store.view(), "power.cycle"), 1);
    stop.cancel();
    keeping.await.unwrap();
}

#[tokio::test]
async fn ipmi_starts_a_machine_for_its_job() {
    let board = IpmiSim::start().await;
    is_started_for_its_job(&board.address()).await;
}

#[tokio::test]
async fn redfish_starts_a_machine_for_its_job() {
    let board = Sushy::start(None).await;
    is_started_for_its_job(&board.address()).await;
}

#[tokio::test]
async fn a_board_that_refuses_leaves_it_to_a_person_and_says_why() {
    let board = Sushy::start(None).await;
    let (power, _) = site(&board.address(), "wrong").await;
    let stop = CancellationToken::new();
    let keeping = tokio::spawn(power.clone().keep_starting(stop.clone()));
    let id = queued(&power).await;
    until(&power, |view| told(view, "deployment.not-started") == 1).await;
    let view = power.store.view();
    let next = next_step(&view, view.deployment(id).unwrap(), power.store.now());
    assert!(
        next.starts_with("waiting: press reset (") && next.contains("401"),
        "{next}"
    );
    stop.cancel();
    keeping.await.unwrap();
}

#[tokio::test]
async fn a_machine_that_nobody_can_switch_waits_for_a_person() {
    let (power, _) = site("none", "").await;
    let id = queued(&power).await;
    assert_eq!(power.due().len(), 0);
    let view = power.store.view();
    let next = next_step(&view, view.deployment(id).unwrap(), power.store.now());
    // Nobody accepted it yet; that its first boot is what it waits for is said there.
    assert!(next.starts_with("waiting: "), "{next}");
}
