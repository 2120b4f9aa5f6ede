//! Enrolment: the three proofs, the person in between, and the man in the middle.

use std::sync::{Arc, Mutex};

use crate::support::{
    Ca, Leaf, Running,
    authority::{Court, SECRET, Seen},
    endpoint, endpoint_at, enrol_as, hello, raw,
};
use mesh_net::{
    CaTrust, CloseCode, EnrolAs, EnrolError, EnrolEvent, EnrolProof, Enrolled, LinkError, NodeKey,
    Refused, ServerLimits, enrol, keys::certificate_der,
};
use mesh_proto::{
    identity::NodeId,
    message::{Refusal, RefusalCode, Secret},
    pairing::PairingCode,
};
use tokio::sync::mpsc::unbounded_channel;

fn boot(secret: &str) -> EnrolProof {
    EnrolProof::Boot {
        mac: "52:54:00:00:00:07".into(),
        secret: Secret::new(secret),
    }
}

/// Enrols and gives what became of it with the code that the screen showed.
async fn attempt(
    to: std::net::SocketAddr,
    who: &EnrolAs,
) -> (Result<Enrolled, EnrolError>, Option<PairingCode>) {
    let (key, shown) = (NodeKey::generate().unwrap(), Mutex::new(None));
    let enrolled = enrol(&endpoint(), to, &key, who, |event| {
        if let EnrolEvent::Code(code) = event {
            *shown.lock().unwrap() = Some(code);
        }
    })
    .await;
    (enrolled, shown.into_inner().unwrap())
}

#[tokio::test]
async fn a_boot_secret_and_a_join_token_enrol_at_once_and_both_sides_know_the_same_code() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let by_secret = enrol_as(boot(SECRET), CaTrust::Sha256(ca.sha256()));
    let by_token = enrol_as(EnrolProof::Token(Secret::new(ca.token())), CaTrust::Shown);
    for who in [by_secret, by_token] {
        let (enrolled, code) = attempt(server.addr, &who).await;
        let enrolled = enrolled.unwrap();
        assert_eq!(enrolled.issued.machine, NodeId(7));
        let ask = seen!(record, Seen::Enrol(ask) => ask);
        assert_eq!(Some(ask.code), code);
        endpoint()
            .connect(server.addr, &enrolled.identity, &hello())
            .await
            .unwrap();
        seen!(record, Seen::Hello(..) => ());
        seen!(record, Seen::Closed(..) => ());
    }
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let ca = Ca::new();
    let (court, _record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let (enrolled, _) = attempt(
        server.addr,
        &enrol_as(boot("ffff"), CaTrust::Sha256(ca.sha256())),
    )
    .await;
    let error = enrolled.unwrap_err();
    assert!(
        matches!(&error, EnrolError::Refused(r) if r.code == RefusalCode::BadProof),
        "{error:?}"
    );
}

#[tokio::test]
async fn without_a_proof_a_person_decides() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    for accepted in [true, false] {
        let (told, mut events) = unbounded_channel();
        let addr = server.addr;
        let agent = tokio::spawn(async move {
            let who = enrol_as(EnrolProof::None, CaTrust::Shown);
            enrol(
                &endpoint_at(0),
                addr,
                &NodeKey::generate().unwrap(),
                &who,
                move |event| told.send(event).unwrap(),
            )
            .await
        });
        let (ask, decide) = seen!(record, Seen::Pending(ask, decide) => (ask, decide));
        assert_eq!(events.recv().await, Some(EnrolEvent::Code(ask.code)));
        assert_eq!(
            events.recv().await,
            Some(EnrolEvent::Pending("compare the code".into()))
        );
        let no = Refusal::new(RefusalCode::RefusedByPerson, "not ours");
        decide
            .send(if accepted {
                Ok(court.issue(&ask))
            } else {
                Err(no.clone())
            })
            .unwrap();
        match agent.await.unwrap() {
            Ok(enrolled) => assert!(accepted && enrolled.issued.machine == NodeId(7)),
            Err(EnrolError::Refused(refusal)) => assert!(!accepted && refusal == no),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_authority_hears_when_a_waiting_machine_is_gone() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let addr = server.addr;
    let agent =
        tokio::spawn(
            async move { attempt(addr, &enrol_as(EnrolProof::None, CaTrust::Shown)).await },
        );
    let mut decide = seen!(record, Seen::Pending(_, decide) => decide);
    agent.abort();
    decide.closed().await;
}

#[tokio::test]
async fn a_full_queue_lets_the_longest_silent_go() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let limits = ServerLimits {
        pending: 1,
        enrols_per_minute: 3,
        ..Default::default()
    };
    let server = Running::start_with(&ca, &court, "127.0.0.1:0", limits);
    let addr = server.addr;
    let wait = move || {
        tokio::spawn(async move {
            attempt(addr, &enrol_as(EnrolProof::None, CaTrust::Shown))
                .await
                .0
        })
    };
    let first = wait();
    let mut first_decide = seen!(record, Seen::Pending(_, decide) => decide);
    let second = wait();
    let second_decide = seen!(record, Seen::Pending(_, decide) => decide);
    seen!(record, Seen::Note(Refused::PendingFull) => ());
    let error = first.await.unwrap().unwrap_err();
    assert!(
        matches!(
            &error,
            EnrolError::Link(LinkError::Closed {
                code: CloseCode::Busy,
                ..
            })
        ),
        "{error:?}"
    );
    first_decide.closed().await;
    assert!(!second_decide.is_closed());
    // Besides: three a minute of one machine, and these were two.
    let third = wait();
    seen!(record, Seen::Pending(_, decide) => drop(decide));
    let fourth = wait().await.unwrap().unwrap_err();
    assert!(
        matches!(
            &fourth,
            EnrolError::Link(LinkError::Closed {
                code: CloseCode::Busy,
                ..
            })
        ),
        "{fourth:?}"
    );
    drop((second, third));
}

/// A machine that shows the boot's secret, and says that it booted from card `n`.
async fn enrols_at(addr: std::net::SocketAddr, ca: &Ca, n: u8) -> Result<Enrolled, EnrolError> {
    let proof = EnrolProof::Boot {
        mac: format!("52:54:00:00:01:{n:02x}"),
        secret: Secret::new(SECRET),
    };
    let who = enrol_as(proof, CaTrust::Sha256(ca.sha256()));
    attempt(addr, &who).await.0
}

fn is_busy(error: &EnrolError) -> bool {
    let EnrolError::Link(LinkError::Closed { code, .. }) = error else {
        return false;
    };
    *code == CloseCode::Busy
}

#[tokio::test]
async fn a_room_behind_one_router_enrols_at_once_and_who_asks_too_often_waits_alone() {
    let ca = Ca::new();
    let (court, _record) = Court::new(&ca);
    let server = Running::start_with(&ca, &court, "127.0.0.1:0", ServerLimits::default());
    for n in 0..8 {
        enrols_at(server.addr, &ca, n).await.unwrap();
    }
    for _ in 1..ServerLimits::default().enrols_per_minute {
        enrols_at(server.addr, &ca, 0).await.unwrap();
    }
    let loud = enrols_at(server.addr, &ca, 0).await.unwrap_err();
    assert!(is_busy(&loud), "{loud:?}");
    enrols_at(server.addr, &ca, 8).await.unwrap();
}

#[tokio::test]
async fn who_invents_machines_is_held_by_its_address() {
    let ca = Ca::new();
    let (court, _record) = Court::new(&ca);
    let limits = ServerLimits {
        enrols_per_address: 2,
        ..Default::default()
    };
    let server = Running::start_with(&ca, &court, "127.0.0.1:0", limits);
    for n in 0..2 {
        enrols_at(server.addr, &ca, n).await.unwrap();
    }
    let third = enrols_at(server.addr, &ca, 2).await.unwrap_err();
    assert!(is_busy(&third), "{third:?}");
}

#[tokio::test]
async fn a_man_in_the_middle_can_pass_no_proof_on_and_the_codes_differ() {
    let (ca, his) = (Ca::new(), Ca::new());
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let middle = || {
        raw::relay(
            certificate_der(&his.pem).unwrap(),
            his.shown(&Leaf::controller()),
            server.addr,
        )
    };

    // The machine was told nothing of the CA. The proof is right, but for another TLS session.
    let (enrolled, code) = attempt(middle(), &enrol_as(boot(SECRET), CaTrust::Shown)).await;
    let error = enrolled.unwrap_err();
    assert!(
        matches!(&error, EnrolError::Refused(r) if r.code == RefusalCode::BadProof),
        "{error:?}"
    );
    let ask = seen!(record, Seen::Enrol(ask) => ask);
    assert_ne!(Some(ask.code), code, "the CA was swapped");

    // It was told: he does not get as far as a byte, and the token is not sent.
    for who in [
        enrol_as(boot(SECRET), CaTrust::Sha256(ca.sha256())),
        enrol_as(
            EnrolProof::None,
            CaTrust::from_token(&Secret::new(ca.token())).unwrap(),
        ),
    ] {
        let error = attempt(middle(), &who).await.0.unwrap_err();
        assert!(
            matches!(&error, EnrolError::Link(LinkError::Impostor(_))),
            "{error:?}"
        );
    }
    let by_token = enrol_as(EnrolProof::Token(Secret::new(ca.token())), CaTrust::Shown);
    assert!(matches!(
        attempt(middle(), &by_token).await.0,
        Err(EnrolError::OtherCa)
    ));
    while let Ok(seen) = record.try_recv() {
        assert!(!matches!(seen, Seen::Enrol(_)), "{seen:?}");
    }
}

/// He takes the machine's enrolment himself and enrols a key of his own with the controller.
#[tokio::test]
async fn a_man_in_the_middle_who_swaps_the_key_shows_as_another_code() {
    let (ca, his) = (Ca::new(), Ca::new());
    let (court, mut record) = Court::new(&ca);
    let (his_court, mut his_record) = Court::new(&his);
    let server = Running::start(&ca, &court);
    let middle = Running::start(&his, &his_court);
    let who = enrol_as(EnrolProof::None, CaTrust::Shown);
    let (machine, he) = (attempt(middle.addr, &who), attempt(server.addr, &who));
    let (_decided, codes) = tokio::join!(
        async {
            tokio::select! { biased; _ = machine => {}, _ = he => {} }
        },
        async {
            let (to_him, his_decide) =
                seen!(his_record, Seen::Pending(ask, decide) => (ask.code, decide));
            let (to_us, decide) = seen!(record, Seen::Pending(ask, decide) => (ask.code, decide));
            drop((his_decide, decide));
            (to_him, to_us)
        }
    );
    assert_ne!(codes.0, codes.1);
}

#[tokio::test]
async fn a_nonce_that_was_not_committed_to_is_refused() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let connection = raw::dial(
        server.addr,
        raw::client(b"enforcer-enrol/1", None, &Arc::default()),
    )
    .await;
    let csr = NodeKey::generate().unwrap().csr_pem().unwrap();
    let request = serde_json::json!({"v": 1, "kind": "enrol", "key": "boot", "csr": csr, "commit": "0".repeat(64),
        "proof": {"by": "none"}, "boot_id": "b", "agent": "0", "facts": crate::support::facts()});
    let reveal = serde_json::json!({"v": 1, "kind": "reveal", "nonce": "0".repeat(32)});
    let both = [raw::framed(&request), raw::framed(&reveal)].concat();
    let reply = raw::say(&connection, &both).await.unwrap();
    assert!(String::from_utf8_lossy(&reply).contains("committed"));
    seen!(record, Seen::Note(Refused::Commitment) => ());
}
