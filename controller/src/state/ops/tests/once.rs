//! What is asked for under a name is done once.

use super::{super::once::make_room, *};
use crate::state::{
    activation::{Activation, Kind},
    answered::{Answered, KEPT_FOR, MAX_ANSWERS, Made, RequestKey},
    config::{BootConfig, Evidence, Program},
};

type Outcome = Result<OnceMade<Result<Activation, ActivateError>>, KeyReused>;

/// Machines `web1` and `web2`, and a config `live`.
fn world() -> World {
    let mut world = World::new();
    world.registered(1);
    world.registered(2);
    let program = Program::Ipxe {
        script: "#!ipxe\nexit\n".to_owned(),
        files: Vec::new(),
    };
    let name = "live".parse().unwrap();
    let config = BootConfig::new(name, program, Default::default(), Evidence::Callback);
    world.does(&SetConfig(config)).unwrap();
    world
}

impl World {
    /// `live` is made due for a machine, by a caller who calls this so.
    fn activates(&mut self, (caller, key): (&str, &str), machine: &str) -> Outcome {
        let request = Digest::of(machine.as_bytes());
        let nonce = Nonce::from_random(self.fresh().into());
        self.does(&Once {
            key: Some(RequestKey::new(caller, key, request)),
            wants: Activate {
                machine: MachineRef(machine.to_owned()),
                config: "live".parse().unwrap(),
                kind: Kind::Standing,
                until: None,
                nonce,
            },
        })
    }
}

fn is_made(outcome: &Outcome) -> bool {
    matches!(outcome, Ok(OnceMade::Now(Ok(_))))
}

#[test]
fn what_is_asked_for_again_is_what_was_made() {
    let mut world = world();
    let first = world.activates(("ann", "k"), "web1");
    let Ok(OnceMade::Now(Ok(activation))) = first else {
        panic!("{first:?}");
    };
    let made = activation.made().unwrap();
    let again = world.activates(("ann", "k"), "web1");
    assert_eq!(again, Ok(OnceMade::Before(made)));
    assert_eq!(world.view.activations().count(), 1);
}

#[test]
fn a_name_is_one_request_of_one_caller() {
    let mut world = world();
    assert!(is_made(&world.activates(("ann", "k"), "web1")));
    assert_eq!(world.activates(("ann", "k"), "web2"), Err(KeyReused));
    assert_eq!(world.view.activations().count(), 1);
    assert!(is_made(&world.activates(("bob", "k"), "web2")));
}

#[test]
fn what_was_refused_can_be_tried_again() {
    let mut world = world();
    let refused = world.activates(("ann", "k"), "web9").unwrap();
    let missing = ActivateError::NoMachine("web9".to_owned());
    assert_eq!(refused, OnceMade::Now(Err(missing)));
    assert_eq!(world.view.answers().count(), 0);
    assert!(is_made(&world.activates(("ann", "k"), "web1")));
}

#[test]
fn a_name_is_free_again_after_a_day() {
    let mut world = world();
    let second = SignedDuration::from_secs(1);
    assert!(is_made(&world.activates(("ann", "k"), "web1")));
    world.now += KEPT_FOR - second;
    assert_eq!(world.activates(("ann", "k"), "web2"), Err(KeyReused));
    world.now += second;
    assert!(is_made(&world.activates(("ann", "k"), "web2")));
    world.now += KEPT_FOR;
    let mut changes = Changes::none();
    make_room(&world.view, world.now, &mut changes);
    assert_eq!(changes.writes.len(), 1, "what does not count goes");
}

#[test]
fn the_oldest_name_makes_room() {
    let mut world = world();
    let name = |n: usize| Digest::of(&n.to_be_bytes());
    for n in 0..MAX_ANSWERS {
        let answered = Answered {
            name: name(n),
            request: name(n),
            at: world.now + SignedDuration::from_secs(n as i64),
            made: Made::Command {
                id: crate::state::command::CommandId(1),
            },
        };
        world.view.absorb(&answered.into());
    }
    assert!(is_made(&world.activates(("ann", "k"), "web1")));
    assert_eq!(world.view.answers().count(), MAX_ANSWERS);
    assert!(world.view.answered(&name(0)).is_none());
    assert!(world.view.answered(&name(1)).is_some());
}
