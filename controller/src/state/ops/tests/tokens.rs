//! Join tokens: good once, for whom they name, for their time.

use mesh_proto::message::{RefusalCode, enrol::Level};

use super::*;
use crate::state::trust::token::TokenState;

#[test]
fn a_token_is_good_once_for_whom_it_names() {
    let mut world = World::new();
    world.registered(1);
    let (token, text) = world.token(None);
    let enrol = world.by_token(1, &text);
    let grant = granted(world.does(&enrol));
    assert_eq!(grant.key.level, Level::T2);
    assert_eq!(
        grant.key.expires,
        grant.key.issued + SignedDuration::from_hours(90 * 24)
    );
    assert_eq!(world.machine(1).standing, Standing::Accepted);
    assert_eq!(
        world.view.token(&token.id).unwrap().state(world.now),
        TokenState::Used
    );
    granted(world.does(&enrol)); // its answer got lost
    let second = world.by_token(1, &text);
    refused(world.does(&second), RefusalCode::BadProof);

    let (_, for_one) = world.token(Some("web1"));
    world.tells(&grant.key, examples::facts(1)).unwrap();
    let stranger = world.by_token(2, &for_one);
    refused(world.does(&stranger), RefusalCode::WrongHardware);
    let right = world.by_token(1, &for_one);
    granted(world.does(&right));

    let (_, old) = world.token(None);
    world.pass(3600);
    let late = world.by_token(1, &old);
    refused(world.does(&late), RefusalCode::Expired);
    let (token, back) = world.token(None);
    world.does(&RevokeToken(token.id)).unwrap();
    let revoked = world.by_token(1, &back);
    refused(world.does(&revoked), RefusalCode::Revoked);
    for text in [
        "",
        "enforcer-x",
        "enforcer-00000001-00000000000000000000000000000000-00000000000000000000000000000000",
    ] {
        let wrong = world.by_token(1, &Secret::new(text));
        refused(world.does(&wrong), RefusalCode::BadProof);
    }
}

#[test]
fn a_token_makes_an_unknown_machine_ours() {
    let mut world = World::new();
    let (_, text) = world.token(None);
    let enrol = world.by_token(3, &text);
    let grant = granted(world.does(&enrol));
    let machine = world.machine(3);
    assert_eq!(
        (machine.standing, machine.macs.len()),
        (Standing::Accepted, 2)
    );
    assert_eq!(machine.name.as_str(), card(3).hyphens());
    assert_eq!(grant.machine.id, machine.id);
}

#[test]
fn tokens_have_a_limit_in_life_and_number() {
    use crate::state::trust::token::MAX_TOKENS;
    let mut world = World::new();
    let create = |n: usize, lives: i64| CreateToken {
        id: TokenId::from_random(u32::try_from(n).unwrap()),
        secret_sha256: Digest::of(b"secret"),
        machine: None,
        lives: Some(SignedDuration::from_secs(lives)),
        by: "ann".to_owned(),
    };
    for wrong in [0, 59, 8 * 24 * 3600] {
        assert_eq!(world.does(&create(0, wrong)), Err(TokenError::Life));
    }
    for n in 0..MAX_TOKENS {
        world.does(&create(n, 3600)).unwrap();
    }
    assert_eq!(world.does(&create(MAX_TOKENS, 3600)), Err(TokenError::Full));
    world.pass(3600);
    world.does(&create(MAX_TOKENS, 3600)).unwrap();
    assert_eq!(
        world.view.tokens().count(),
        MAX_TOKENS,
        "a spent one made room"
    );
}
