//! A new system joins by the token that its deployment left, and nobody else does.

use mesh_proto::message::enrol::{JOIN_FILE, Join};

use super::*;
use crate::state::trust::token::TokenState;

fn joining(spec: OrderSpec) -> OrderSpec {
    OrderSpec { join: true, ..spec }
}

/// What the agent was told to leave for the new system.
fn left(job: &Job) -> Join {
    let file = job.provision.iter().find(|f| f.name == JOIN_FILE).unwrap();
    serde_json::from_str(&file.text).unwrap()
}

impl World {
    fn token_of(&self, id: DeploymentId) -> TokenState {
        let token = self.job(id).token.unwrap();
        self.view.token(&token).unwrap().state(self.now)
    }

    /// Machine 1 proved its key well, and its job is written with a token.
    fn written_with_token(&mut self) -> (DeploymentId, Join) {
        self.idles(1);
        let key = self.proves(1);
        self.upload("debian");
        let job = self.deploys(1, joining(write_image("debian")));
        let told = self.takes(&key);
        assert_eq!(told.provision.len(), 1, "cloud-init is not woken for it");
        self.writes(&key, job.id);
        self.silent(1);
        self.plan(1);
        (job.id, left(&told))
    }
}

#[test]
fn a_new_system_joins_at_t2_by_its_deployments_token_and_is_online() {
    let mut world = World::new();
    let (job, join) = world.written_with_token();
    assert_eq!(join.controllers, ["10.0.0.1:4848".parse().unwrap()]);
    assert_eq!(world.job(job).state, State::HandedOver);
    assert_eq!(world.token_of(job), TokenState::Good);
    let token = join.token.unwrap();
    let stranger = world.by_token(2, &token);
    assert!(!matches!(world.does(&stranger), EnrolOutcome::Granted(_)));
    let enrol = world.by_token(1, &token);
    let key = granted(world.does(&enrol)).key;
    assert_eq!((key.kind, key.level), (KeyKind::Installed, Level::T2));
    world.links(1, &key);
    let done = world.job(job);
    assert_eq!(done.state, State::Online);
    assert_eq!(done.reason.as_deref(), Some("its agent speaks"));
    assert_eq!(world.token_of(job), TokenState::Used);
}

#[test]
fn a_token_is_dead_when_its_job_is_over() {
    let mut world = World::new();
    let (job, join) = world.written_with_token();
    let cancel = CancelDeployment {
        id: job,
        by: "ann".to_owned(),
    };
    world.does(&cancel).unwrap();
    assert_eq!(world.token_of(job), TokenState::Revoked);
    let late = world.by_token(1, &join.token.unwrap());
    refused(world.does(&late), RefusalCode::Revoked);
}

#[test]
fn each_boot_has_a_token_of_its_own_and_the_one_before_is_dead() {
    let mut world = World::new();
    world.idles(1);
    let key = world.proves(1);
    world.upload("debian");
    let job = world.deploys(1, joining(write_image("debian"))).id;
    let first = left(&world.takes(&key)).token.unwrap();
    let second = left(&world.takes(&key)).token.unwrap();
    assert_ne!(first.expose(), second.expose());
    let old = world.by_token(1, &first);
    refused(world.does(&old), RefusalCode::Revoked);
    assert_eq!(world.token_of(job), TokenState::Good);
}

#[test]
fn a_token_goes_to_a_well_proved_machine_only() {
    let mut world = World::new();
    let key = world.idles(1);
    world.upload("debian");
    let job = world.deploys(1, joining(write_image("debian"))).id;
    assert!(world.waits(&key).contains("waits for T2: a join token"));
    assert_eq!(world.job(job).token, None, "and none is made");
    let key = world.proves(1);
    left(&world.takes(&key));
}

#[test]
fn a_token_that_nobody_could_use_is_refused() {
    let mut world = World::new();
    world.idles(1);
    world.upload("debian");
    for wrong in [
        OrderSpec {
            after: After::Stay,
            ..write_image("debian")
        },
        OrderSpec {
            until: Some(Until::HandedOver),
            ..write_image("debian")
        },
    ] {
        let create = world.order(1, joining(wrong));
        let refused = world.does(&create).unwrap_err();
        assert_eq!(refused, DeployError::Order(OrderError::NobodyJoins));
    }
    let mut own = write_image("debian");
    own.provision.push(ProvisionFile {
        name: "Enforcer-Join.json".to_owned(),
        text: "{}".to_owned(),
    });
    let create = world.order(1, own);
    let refused = world.does(&create).unwrap_err().to_string();
    assert!(refused.contains("is ours"), "{refused}");
}
