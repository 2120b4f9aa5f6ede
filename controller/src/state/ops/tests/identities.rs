//! People who sign in at the identity provider: who they are here, and who they do not become.

use super::*;
use crate::state::{
    session::Session,
    user::{Identity, OidcLink, Role, User},
};

const SSO: &str = "https://sso.example.org";

fn identity(subject: &str) -> Identity {
    Identity {
        issuer: SSO.to_owned(),
        subject: subject.to_owned(),
    }
}

fn comes(subject: &str, name: &str, role: Option<Role>) -> SignInByOidc {
    SignInByOidc {
        identity: identity(subject),
        name: name.parse().ok(),
        role,
        create: true,
        is_account: false,
        browser: NewSession {
            id: Digest::of(format!("{subject} {name} {role:?}").as_bytes()),
            from: Some(ip(7)),
            replaces: None,
        },
    }
}

fn user(world: &World, name: &str) -> User {
    User::clone(world.view.user(&name.parse().unwrap()).unwrap())
}

fn writes_down(world: &mut World, name: &str, oidc: bool) {
    let create = CreateUser {
        name: name.parse().unwrap(),
        role: Role::Viewer,
        oidc,
        note: None,
        by: "local:root".to_owned(),
    };
    world.does(&create).unwrap();
}

fn set(name: &str) -> SetUser {
    SetUser {
        name: name.parse().unwrap(),
        role: None,
        disabled: None,
        oidc: None,
        note: None,
        by: "local:root".to_owned(),
    }
}

fn name_of(signed_in: Result<Session, IdentityError>) -> String {
    signed_in.unwrap().user.to_string()
}

#[test]
fn somebody_new_is_made_and_stays_the_same_whatever_their_name_becomes() {
    let mut world = World::new();
    let first = world.does(&comes("s1", "ann", Some(Role::Operator)));
    assert_eq!(name_of(first), "ann");
    let ann = user(&world, "ann");
    assert_eq!((ann.role, ann.by.as_str()), (Role::Operator, "oidc"));
    assert_eq!(ann.oidc, OidcLink::Bound(identity("s1")));
    assert_eq!(ann.password_set, None);
    // Married, and with another role; then with a name that cannot be one.
    for (name, role) in [("ann.other", Role::Viewer), ("no name", Role::Admin)] {
        let again = world.does(&comes("s1", name, Some(role)));
        assert_eq!(name_of(again), "ann");
        assert_eq!(user(&world, "ann").role, role);
    }
    assert_eq!(world.view.users().count(), 1);
    assert_eq!(world.view.sessions().count(), 3);
    // Of another provider this is somebody else.
    let mut elsewhere = comes("s1", "ann", Some(Role::Admin));
    elsewhere.identity.issuer = "https://other.example.org".to_owned();
    let refused = world.does(&elsewhere).unwrap_err();
    assert!(matches!(refused, IdentityError::Other(_)), "{refused}");
}

#[test]
fn nobody_takes_the_name_of_somebody_else() {
    let mut world = World::new();
    writes_down(&mut world, "carl", false);
    world.does(&comes("s1", "ann", Some(Role::Viewer))).unwrap();
    let admin = Some(Role::Admin);
    let on_the_host = SignInByOidc {
        is_account: true,
        ..comes("s2", "daemon", admin)
    };
    let unknown = SignInByOidc {
        create: false,
        ..comes("s2", "bob", admin)
    };
    for (comes, told) in [
        (
            comes("s2", "ann", admin),
            "another account of the provider is ann",
        ),
        (comes("s2", "carl", admin), "users set carl --oidc"),
        (comes("s2", "root", admin), "'root' is an admin"),
        (
            comes("s2", "1000", admin),
            "an account of the controller's host",
        ),
        (comes("s2", "no name", admin), "oidc.name_claim"),
        (comes("s2", "bob", None), "no role here"),
        (on_the_host, "an account of the controller's host"),
        (unknown, "users create bob --role viewer --oidc"),
    ] {
        let (before, sessions) = (world.view.users().count(), world.view.sessions().count());
        let refused = world.does(&comes).unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
        assert_eq!(world.view.users().count(), before, "{told}");
        assert_eq!(world.view.sessions().count(), sessions, "{told}");
    }
    assert_eq!(user(&world, "carl").role, Role::Viewer);
}

#[test]
fn whose_things_are_still_here_is_nobodys_name() {
    let mut world = World::new();
    let (name, items) = ("web".parse().unwrap(), Vec::new());
    let mine = crate::state::setup::Setup {
        name,
        items,
        owner: "bob".parse().ok(),
        note: None,
        revision: 1,
        updated: world.now,
    };
    world.view.absorb(&Record::Setup(mine.into()).into());
    let refused = world.does(&comes("s2", "bob", Some(Role::Viewer)));
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("the owner of images"), "{refused}");
    writes_down(&mut world, "bob", true);
    let signed_in = world.does(&comes("s2", "bob", Some(Role::Viewer)));
    assert_eq!(name_of(signed_in), "bob", "an admin said that it is them");
}

#[test]
fn whom_an_admin_awaits_is_bound_by_signing_in_and_let_go_by_a_word() {
    let mut world = World::new();
    writes_down(&mut world, "ann", true);
    assert_eq!(user(&world, "ann").oidc, OidcLink::Awaited);
    let first = SignInByOidc {
        create: false,
        is_account: true,
        ..comes("s1", "ann", Some(Role::Operator))
    };
    assert_eq!(name_of(world.does(&first)), "ann");
    assert_eq!(user(&world, "ann").oidc, OidcLink::Bound(identity("s1")));
    let second = SignInByOidc {
        identity: identity("s2"),
        ..first.clone()
    };
    let refused = world.does(&second).unwrap_err();
    assert!(matches!(refused, IdentityError::Other(_)), "{refused}");
    let await_again = SetUser {
        oidc: Some(true),
        ..set("ann")
    };
    world.does(&await_again).unwrap();
    assert_eq!(user(&world, "ann").oidc, OidcLink::Bound(identity("s1")));
    let let_go = SetUser {
        oidc: Some(false),
        ..set("ann")
    };
    world.does(&let_go).unwrap();
    assert_eq!(world.view.sessions().count(), 0, "their sessions end");
    let refused = world.does(&first).unwrap_err();
    assert!(matches!(refused, IdentityError::NotLinked(_)), "{refused}");
    world.does(&await_again).unwrap();
    assert_eq!(name_of(world.does(&second)), "ann");
}

#[test]
fn who_is_disabled_stays_out_and_who_lost_their_role_too() {
    let mut world = World::new();
    let ann = comes("s1", "ann", Some(Role::Operator));
    world.does(&ann).unwrap();
    let no_more = SignInByOidc {
        role: None,
        ..ann.clone()
    };
    assert_eq!(world.does(&no_more), Err(IdentityError::NoRole));
    let disable = SetUser {
        disabled: Some(true),
        ..set("ann")
    };
    world.does(&disable).unwrap();
    let refused = world.does(&ann).unwrap_err();
    assert!(matches!(refused, IdentityError::Disabled(_)), "{refused}");
    assert!(user(&world, "ann").disabled);
    assert_eq!(world.view.sessions().count(), 0);
}
