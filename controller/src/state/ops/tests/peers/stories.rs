//! What happens between sites that keep the rules.

use super::*;

#[test]
fn a_config_that_lives_only_at_b_boots_a_machine_at_a_once_and_b_learns_that_it_is_spent() {
    let (mut a, mut b) = sites();
    assert_eq!(
        why(&a.plans(card(1))),
        "no remote Enforcer has named this MAC"
    );
    assert_eq!(a.plans(card(1)).plan, BootPlan::Silent);
    b.names_to("site-b", &mut a, "site-a");
    assert_eq!(
        a.plans(card(1)).plan,
        BootPlan::Silent,
        "nothing is due at B yet"
    );
    let armed = b.arms(1, |_| {}, Kind::OneShot);
    b.names_to("site-b", &mut a, "site-a");
    assert_eq!(a.plans(card(1)).plan, BootPlan::AskPeers);

    let grant = b.grants("site-a", 1, "s1").unwrap();
    assert_eq!(grant.nonce, armed.nonce.to_string());
    assert_eq!(
        b.grants("site-a", 1, "s1").unwrap(),
        grant,
        "an answer got lost"
    );
    let taken = a.adopts("site-b", 1, &grant).unwrap();
    a.adopts("site-b", 1, &grant).unwrap();
    assert_eq!(a.view.activations_of(&taken.machine).count(), 1);
    let BootPlan::Config(ipxe::ConfigBoot::Kernel(kernel)) = a.serves(1, "s1") else {
        panic!("{:?}", a.plans(card(1)));
    };
    assert_eq!(
        kernel.cmdline,
        format!(
            "auto url=http://10.0.0.1:4880/boot/n/{}/preseed host=web1",
            armed.nonce
        ),
        "B's name for the machine, A's address"
    );
    assert!(matches!(
        a.fetches(&armed.nonce, "s1"),
        FetchAnswer::Asset(..)
    ));
    assert!(a.to_tell().is_empty());
    a.calls_back(&armed.nonce, None);
    let told = a.to_tell();
    assert_eq!((told.len(), told[0].outcome), (1, Outcome::Confirmed));
    assert!(!matches!(a.serves(1, "s2"), BootPlan::Config(_)), "once");
    assert!(
        a.adopts("site-b", 1, &grant).is_err(),
        "also when B does not know it yet"
    );

    assert!(b.hears("site-a", &told[0]) && b.hears("site-a", &told[0]));
    assert_eq!(b.activation(&armed.nonce).stage, Stage::Confirmed);
    a.does(&Told(armed.nonce.clone()));
    assert!(a.to_tell().is_empty());
    b.names_to("site-b", &mut a, "site-a");
    assert_eq!(a.plans(card(1)).plan, BootPlan::Silent);
    assert!(b.grants("site-a", 1, "s3").is_err());
}

#[test]
fn each_side_is_asked_before_a_machine_crosses() {
    let (mut a, mut b) = sites();
    b.arms(1, |_| {}, Kind::OneShot);
    b.allows("site-a", &["pool=other"], &[], false);
    b.names_to("site-b", &mut a, "site-a");
    assert_eq!(a.plans(card(1)).plan, BootPlan::Silent);
    assert!(
        b.grants("site-a", 1, "s")
            .unwrap_err()
            .contains("may not ask")
    );
    b.allows("site-a", &["pool=lab"], &[], false);
    b.names_to("site-b", &mut a, "site-a");
    a.allows("site-b", &[], &["pool=lab"], false);
    assert!(why(&a.plans(card(1))).contains("may not boot it here"));
    let grant = b.grants("site-a", 1, "s").unwrap();
    assert!(
        a.adopts("site-b", 1, &grant)
            .unwrap_err()
            .contains("may not boot")
    );
    // Registered at A, it is A's label that counts.
    a.registered(1);
    assert!(a.adopts("site-b", 1, &grant).is_err());
    a.labelled(1, "pool", "lab");
    assert_eq!(a.plans(card(1)).plan, BootPlan::AskPeers);
    a.adopts("site-b", 1, &grant).unwrap();
    assert!(matches!(a.serves(1, "s"), BootPlan::Config(_)));
    // Both words can be taken back while the boot is under way.
    a.allows("site-b", &[], &[], true);
    assert!(!matches!(a.serves(1, "s"), BootPlan::Config(_)));
    a.allows("site-b", &[], &["pool=lab"], true);
    assert!(matches!(a.serves(1, "s"), BootPlan::Config(_)));
    b.allows("site-a", &[], &[], false);
    b.names_to("site-b", &mut a, "site-a");
    assert!(!matches!(a.serves(1, "s"), BootPlan::Config(_)));
}

#[test]
fn what_is_due_at_a_comes_before_what_b_has_and_asked_peers_are_not_asked_again() {
    let (mut a, mut b) = sites();
    b.arms(1, |_| {}, Kind::OneShot);
    b.names_to("site-b", &mut a, "site-a");
    let mut request = a.question(card(1), "s", "http://a:1");
    request.peers = Peers::Asked(vec![PeerAnswer {
        site: site("site-b"),
        found: "did not answer in time".to_owned(),
    }]);
    let decision = crate::state::boot::decide(&request, &a.view, a.now);
    assert_eq!(decision.plan, BootPlan::Silent);
    assert_eq!(why(&decision), "site-b: did not answer in time");
    // A question that was at B, or went too far, does not go there again.
    for (visited, hops) in [(vec![site("site-b")], 1), (vec![site("x")], 3)] {
        request.peers = Peers::Ask(Trail { visited, hops });
        let decision = crate::state::boot::decide(&request, &a.view, a.now);
        assert_eq!(decision.plan, BootPlan::Silent, "{decision:?}");
    }
    a.registered(1);
    a.allows("site-b", &[], &["!spare"], false);
    assert_eq!(a.plans(card(1)).plan, BootPlan::AskPeers);
    let own = a.arms(1, |_| {}, Kind::OneShot);
    assert!(matches!(a.plans(card(1)).plan, BootPlan::Config(_)));
    let grant = b.grants("site-a", 1, "s").unwrap();
    assert!(
        a.adopts("site-b", 1, &grant)
            .unwrap_err()
            .contains("due here")
    );
    assert_eq!(a.activation(&own.nonce).taken, None);
}

#[test]
fn a_boot_that_fails_too_often_at_a_is_failed_at_b() {
    let (mut a, mut b) = sites();
    let armed = b.arms(1, |_| {}, Kind::OneShot);
    b.names_to("site-b", &mut a, "site-a");
    let grant = b.grants("site-a", 1, "s").unwrap();
    a.adopts("site-b", 1, &grant).unwrap();
    for n in 0..MAX_BOOTS {
        let session = format!("s{n}");
        assert!(matches!(a.serves(1, &session), BootPlan::Config(_)), "{n}");
        assert!(matches!(
            a.fetches(&armed.nonce, &session),
            FetchAnswer::Asset(..)
        ));
    }
    assert!(!matches!(a.serves(1, "last"), BootPlan::Config(_)));
    let told = a.to_tell();
    assert_eq!(told[0].outcome, Outcome::Failed);
    assert!(b.hears("site-a", &told[0]));
    let closed = b.activation(&armed.nonce);
    assert_eq!(closed.stage, Stage::Failed);
    assert!(
        closed
            .reason
            .as_ref()
            .unwrap()
            .starts_with("site-a: 3 boots")
    );
}

#[test]
fn a_grant_is_one_sites_until_its_time_is_over_and_its_end_is_believed_later_too() {
    let (mut a, mut b) = sites();
    let id = b.invites(2);
    b.admits(&id, "secret", "site-c").unwrap();
    b.allows("site-c", &["pool=lab"], &[], false);
    let armed = b.arms(1, |_| {}, Kind::OneShot);
    b.names_to("site-b", &mut a, "site-a");
    let grant = b.grants("site-a", 1, "s").unwrap();
    a.adopts("site-b", 1, &grant).unwrap();
    assert!(
        b.grants("site-c", 1, "c")
            .unwrap_err()
            .contains("another site")
    );
    let nonce = armed.nonce.clone();
    let forged = Outgoing {
        nonce: nonce.clone(),
        site: site("site-b"),
        outcome: Outcome::Confirmed,
        reason: "x".to_owned(),
        since: b.now,
    };
    assert!(!b.hears("site-c", &forged), "another site's grant");
    assert!(granted_file(&b.view, &site("site-c"), &nonce, 0).is_none());
    assert!(granted_file(&b.view, &site("site-a"), &nonce, 1).is_some());
    assert!(granted_file(&b.view, &site("site-a"), &nonce, 2).is_none());
    a.pass(24 * 3600 + 1);
    assert!(!matches!(a.serves(1, "late"), BootPlan::Config(_)));
    a.does(&ExpireOverdue);
    assert!(a.to_tell().is_empty(), "B's clock says it as well");
    b.pass(24 * 3600 + 31);
    assert!(b.hears("site-a", &forged), "a boot that began in time");
    assert_eq!(b.activation(&nonce).stage, Stage::Confirmed);
    assert!(b.grants("site-c", 1, "c").is_err());
}

#[test]
fn after_its_time_a_grant_goes_to_another_site_or_to_the_same_again() {
    let (mut a, mut b) = sites();
    let id = b.invites(2);
    b.admits(&id, "secret", "site-c").unwrap();
    b.allows("site-c", &["pool=lab"], &[], false);
    b.arms(1, |_| {}, Kind::OneShot);
    b.names_to("site-b", &mut a, "site-a");
    let grant = b.grants("site-a", 1, "s").unwrap();
    a.adopts("site-b", 1, &grant).unwrap();
    for world in [&mut a, &mut b] {
        world.pass(24 * 3600 + 31);
    }
    a.does(&ExpireOverdue);
    let again = b.grants("site-a", 1, "t").unwrap();
    a.adopts("site-b", 1, &again).unwrap();
    assert!(matches!(a.serves(1, "t"), BootPlan::Config(_)));
    // A person at A gives it back.
    let name = a.machine(1).name.to_string();
    a.does(&Deactivate(MachineRef(name))).unwrap();
    let told = a.to_tell();
    assert_eq!(told[0].outcome, Outcome::Released);
    assert!(b.grants("site-c", 1, "c").is_err());
    assert!(b.hears("site-a", &told[0]));
    b.grants("site-c", 1, "c").unwrap();
}
