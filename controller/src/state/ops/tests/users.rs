//! People: written down, changed, struck out.

use super::*;
use crate::state::user::Role;

fn create(name: &str, role: Role) -> CreateUser {
    CreateUser {
        name: name.parse().unwrap(),
        role,
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
