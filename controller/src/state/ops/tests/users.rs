//! People: written down, changed, struck out.

use super::*;
use crate::state::user::Role;

fn create(name: &str, role: Role) -> CreateUser {
    CreateUser {
        name: name.parse().unwrap(),
        role,
        oidc: false,
        note: Some("the\nauditor".to_owned()),
        by: "local:root".to_owned(),
    }
}

#[test]
fn a_person_is_written_down_once_and_struck_out() {
    let mut world = World::new();
    let ann = world.does(&create("ann", Role::Viewer)).unwrap();
    assert_eq!(ann.note.as_deref(), Some("theauditor"));
    let again = world.does(&create("ann", Role::Admin));
    assert_eq!(again, Err(UserError::Taken(ann.name.clone())));
    let set = SetUser {
        name: ann.name.clone(),
        role: Some(Role::Operator),
        disabled: None,
        oidc: None,
        note: None,
        by: "local:root".to_owned(),
    };
    let changed = world.does(&set).unwrap();
    assert_eq!((changed.role, &changed.note), (Role::Operator, &ann.note));
    assert_eq!(
        world.last_told(),
        "user.changed: ann is an operator from now on"
    );
    let delete = DeleteUser {
        name: ann.name.clone(),
        by: "local:root".to_owned(),
    };
    assert_eq!(world.does(&delete), Ok(()));
    assert_eq!(world.view.users().count(), 0);
    assert_eq!(
        world.does(&delete),
        Err(UserError::NotFound(ann.name.clone()))
    );
    assert_eq!(world.does(&set), Err(UserError::NotFound(ann.name)));
}

#[test]
fn nobody_makes_root_less_than_it_is() {
    let mut world = World::new();
    let refused = world.does(&create("root", Role::Viewer));
    assert!(matches!(refused, Err(UserError::Root(_))), "{refused:?}");
}

#[test]
fn an_api_token_ends_with_its_time_and_leaves_its_name() {
    use crate::state::api_token::{TokenPrefix, TokenStanding};
    let mut world = World::new();
    let create = |n: u64, days: i64| CreateApiToken {
        prefix: TokenPrefix::from_random(n << 16),
        name: "ci".parse().unwrap(),
        secret_sha256: Digest::of(b"secret"),
        role: None,
        user: None,
        labels: None,
        lives: Some(SignedDuration::from_hours(24 * days)),
        maker: TokenMaker {
            caller: "local:root".to_owned(),
            role: Role::Admin,
            by_token: false,
        },
    };
    let first = world.does(&create(1, 1)).unwrap();
    let standing = |world: &World| first.standing(&world.view, world.now);
    world.pass(24 * 3600 - 1);
    assert_eq!(standing(&world), TokenStanding::Good);
    let taken = world.does(&create(2, 1));
    assert_eq!(taken, Err(ApiTokenError::Taken(first.name.clone())));
    world.pass(1);
    assert_eq!(standing(&world), TokenStanding::Expired);
    world.does(&create(2, 1)).unwrap();
    assert_eq!(world.view.api_tokens().count(), 1);
    assert_eq!(world.does(&create(3, 367)), Err(ApiTokenError::Life));
}

#[test]
fn a_person_has_so_many_sessions_and_the_one_that_is_used_least_gives_way() {
    use crate::state::{
        password::{Cost, Password},
        session::{IDLE, MAX_PER_USER},
    };
    let mut world = World::new();
    world.does(&create("ann", Role::Viewer)).unwrap();
    let password = Password {
        user: "ann".parse().unwrap(),
        cost: Cost::OWASP,
        salt: String::new(),
        hash: Secret::new("one"),
    };
    let by = PasswordSetter {
        caller: "local:root".to_owned(),
        admin: true,
        by_token: false,
        shown: None,
    };
    let set = SetPassword {
        password: password.clone(),
        by,
    };
    world.does(&set).unwrap();
    let sign_in = |n: usize| SignIn {
        id: Digest::of(&n.to_be_bytes()),
        shown: password.clone(),
        from: None,
        replaces: None,
    };
    for n in 0..MAX_PER_USER {
        world.pass(60);
        world.does(&sign_in(n)).unwrap();
    }
    world.pass(15 * 60);
    world.does(&NoteSessionUse(sign_in(0).id));
    world.does(&sign_in(MAX_PER_USER)).unwrap();
    let kept = |world: &World, n: usize| world.view.session(&sign_in(n).id).is_some();
    assert_eq!(world.view.sessions().count(), MAX_PER_USER);
    assert!(kept(&world, 0), "it was used");
    assert!(!kept(&world, 1));
    let again = SignIn {
        replaces: Some(sign_in(5).id),
        ..sign_in(99)
    };
    world.does(&again).unwrap();
    assert!(!kept(&world, 5), "the browser's last one");
    world.pass(IDLE.as_secs());
    let late = NoteSessionUse(sign_in(0).id);
    world.does(&late);
    let session = world.view.session(&late.0).unwrap();
    assert!(
        !session.stands(&world.view, world.now),
        "what is over stays over"
    );
    world.does(&sign_in(100)).unwrap();
    assert_eq!(world.view.sessions().count(), 1, "what is over goes");
    let other = SignIn {
        shown: Password {
            hash: Secret::new("another"),
            ..password.clone()
        },
        ..sign_in(101)
    };
    let changed = world.does(&other);
    assert_eq!(
        changed,
        Err(SessionError::Changed),
        "it was changed meanwhile"
    );
}
