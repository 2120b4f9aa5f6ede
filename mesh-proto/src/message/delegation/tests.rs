//! A delegation is good for its helper, from its issue to its end, by a time that nobody can set back; a ledger never serves
//! again what is over.

use proptest::{collection::vec, prelude::*};

use super::{
    ledger::{Entry, Ledger},
    *,
};

fn boot(nonce: &str, once: Option<Once>) -> DelegatedBoot {
    let file = StoredFile {
        sha256: "ab".repeat(32),
        size: 9,
    };
    let program = |name: &str| Program {
        name: name.to_owned(),
        file: file.clone(),
    };
    DelegatedBoot {
        nonce: nonce.to_owned(),
        script: String::new(),
        files: vec![program("vmlinuz"), program("initrd")],
        texts: BTreeMap::new(),
        lives_s: 500,
        once,
    }
}

fn once(closed_by: ClosedBy) -> Once {
    Once {
        closed_by,
        max_boots: 3,
        max_scripts: 5,
        served: Vec::new(),
    }
}

fn delegation() -> Delegation {
    let machine = |mac: &str, boot| Delegated {
        macs: vec![mac.to_owned()],
        name: "m".into(),
        local: "auto".into(),
        rank: 0,
        boot,
    };
    Delegation {
        purpose: PURPOSE.into(),
        helper: NodeId(7),
        issued_unix_s: 1_000,
        lives_s: 1_000,
        programs: BTreeMap::new(),
        machines: vec![
            machine("a", None),
            machine("b", Some(boot("standing", None))),
            machine("c", Some(boot("once", Some(once(ClosedBy::Fetched))))),
        ],
    }
}

fn clock(unix_s: i64) -> Moment {
    Moment {
        unix_s,
        held_s: None,
    }
}

fn held(unix_s: i64, held_s: i64) -> Moment {
    Moment {
        unix_s,
        held_s: Some(held_s),
    }
}

#[test]
fn nothing_is_answered_before_its_issue_or_from_its_end_on() {
    let all = delegation();
    for (at, expected) in [
        (clock(1_000), Ok(())),
        (clock(1_999), Ok(())),
        (clock(2_000), Err(BadDelegation::Expired)),
        (clock(999), Err(BadDelegation::Clock)),
        // A clock that was set back or forth changes nothing for who counted the seconds.
        (held(0, 999), Ok(())),
        (held(0, 1_000), Err(BadDelegation::Expired)),
        (held(9_000, 10), Ok(())),
    ] {
        assert_eq!(all.check(at), expected, "{at:?}");
        let told = all.machine("a", at).is_some();
        assert_eq!(told, expected.is_ok(), "{at:?}");
    }
    assert!(all.machine("x", clock(1_000)).is_none());
    let long = Delegation {
        lives_s: i64::MAX,
        ..all
    };
    assert!(long.check(clock(1_000 + LIVES_S)).is_err(), "no longer");
}

#[test]
fn what_is_served_once_needs_the_time_that_nobody_can_set() {
    let all = delegation();
    let served = |nonce, at| all.by_nonce(nonce, at).is_some();
    assert!(served("standing", clock(1_499)) && served("standing", held(0, 499)));
    assert!(!served("standing", clock(1_500)) && !served("standing", held(0, 500)));
    assert!(served("once", held(0, 499)) && !served("once", held(1_000, 500)));
    assert!(!served("once", clock(1_001)), "its computer was restarted");
    let machine = all.machine("c", held(0, 1)).unwrap();
    assert!(all.boot(machine, held(0, 499)).is_some());
    assert!(all.boot(machine, clock(1_001)).is_none(), "its own disk");
}

#[test]
fn a_delegation_is_read_by_its_helper_alone_and_only_for_what_it_is() {
    let text = serde_json::to_string(&delegation()).unwrap();
    assert_eq!(Delegation::read(&text, NodeId(7)), Ok(delegation()));
    let other = Delegation::read(&text, NodeId(8));
    assert_eq!(other, Err(BadDelegation::OtherHelper));
    let ticket = text.replace("delegation/1", "ticket/1");
    let other = Delegation::read(&ticket, NodeId(7));
    assert_eq!(other, Err(BadDelegation::Malformed));
}

/// What can happen at a helper, with sessions of a small world.
#[derive(Debug, Clone)]
enum Act {
    Claim(u8),
    Fetch(u8),
    Sent(u8, bool),
    Loaded(u8),
    Callback(bool),
    /// The process dies here: what was not written is gone, what was written is read again.
    Crash,
    /// The controller delegates it again, knowing of this boot.
    Renewed(u8, bool),
}

fn act() -> impl Strategy<Value = Act> {
    let session = 0..8u8;
    prop_oneof![
        4 => session.clone().prop_map(Act::Claim),
        4 => session.clone().prop_map(Act::Fetch),
        4 => (session.clone(), any::<bool>()).prop_map(|(s, k)| Act::Sent(s, k)),
        2 => session.clone().prop_map(Act::Loaded),
        1 => any::<bool>().prop_map(Act::Callback),
        2 => Just(Act::Crash),
        1 => (session, any::<bool>()).prop_map(|(s, f)| Act::Renewed(s, f)),
    ]
}

proptest! {
    #[test]
    fn after_its_evidence_it_is_never_served_and_before_never_beyond_its_caps(
        acts in vec(act(), 1..60),
        by_files in any::<bool>(),
    ) {
        let closed_by = if by_files { ClosedBy::Fetched } else { ClosedBy::Callback };
        let mut boot = boot("n", Some(once(closed_by)));
        let mut disk = Ledger::default();
        let (mut evident, mut fetching) = (false, BTreeMap::<String, bool>::new());
        for act in acts {
            let rules = boot.once.clone().unwrap();
            let (entry, serves) = match &act {
                Act::Claim(s) => (disk.claim(&rules, &s.to_string()), Some((s, false))),
                Act::Fetch(s) => (disk.begin_fetch(&rules, &s.to_string()), Some((s, true))),
                Act::Sent(s, kernel) => {
                    let name = if *kernel { "vmlinuz" } else { "initrd" };
                    (disk.sent(&boot, &s.to_string(), Some(name)), None)
                }
                Act::Loaded(s) => (disk.sent(&boot, &s.to_string(), None), None),
                Act::Callback(good) => {
                    evident = true;
                    (disk.callback((!good).then_some("no")), None)
                }
                Act::Crash => {
                    let text = serde_json::to_string(&disk).unwrap();
                    disk = serde_json::from_str(&text).unwrap();
                    continue;
                }
                Act::Renewed(s, fetched) => {
                    let session = s.to_string();
                    // A controller knows only what its holder told it.
                    if let Some(known) = disk.boots.iter().find(|b| b.session == session) {
                        let fetched = *fetched && known.fetched;
                        let rules = boot.once.as_mut().unwrap();
                        rules.served.push(ServedBoot { session, fetched });
                    }
                    continue;
                }
            };
            let over = matches!(entry, Entry::Over(_));
            if let Entry::Next(next) | Entry::Over(next) = entry {
                disk = next;
            }
            match serves {
                Some((session, fetched)) if !over => {
                    prop_assert!(!evident, "served after its evidence: {act:?}");
                    let known = fetching.entry(session.to_string()).or_default();
                    *known |= fetched;
                }
                Some(_) => {}
                None => evident |= disk.over.is_some(),
            }
            let boots = fetching.values().filter(|f| **f).count();
            prop_assert!(boots <= 3, "{boots} boots");
            prop_assert!(fetching.len() <= 3 + 5, "{} sessions", fetching.len());
        }
    }
}
