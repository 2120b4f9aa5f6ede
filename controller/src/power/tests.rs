//! Claims about switching, against real simulators: OpenIPMI's ipmi_sim and sushy-tools' emulator.

mod boards;
mod jobs;

use mesh_proto::message::Secret;

use self::boards::{IpmiSim, PASSWORD, Sushy};
use super::*;
use crate::{
    state::{
        machine::MachineId,
        ops::{MachineRef, RegisterMachine, SetPower},
        policy::Policy,
    },
    store::{SystemClock, memory::Memory},
};

/// A registered machine `web1` that is switched by `address`.
async fn site(address: &str, password: &str) -> (Power, Arc<Machine>) {
    let store = Store::open(Memory::calm(), Policy::default(), SystemClock).unwrap();
    let register = RegisterMachine {
        mac: "52:54:00:77:00:01".parse().unwrap(),
        name: Some("web1".parse().unwrap()),
        fresh_id: MachineId::from_random(7),
    };
    let machine = store.apply(register).await.unwrap().unwrap();
    let set = SetPower {
        machine: MachineRef("web1".to_owned()),
        address: (address != "none").then(|| address.parse().unwrap()),
        secret: Some(Secret::new(password)),
        by: "ann".to_owned(),
    };
    store.apply(set).await.unwrap().unwrap();
    (Power::new(store, None), Arc::new(machine))
}

async fn does(power: &Power, machine: &Machine, action: PowerAction) -> PowerState {
    let done = power.switch(machine, action, "ann").await.unwrap();
    assert_eq!(done.means, Means::Board);
    done.state
}

/// Every action, on a machine that is on and on one that is off.
async fn switches(address: &str) {
    let (power, machine) = site(address, PASSWORD).await;
    for (action, then) in [
        (PowerAction::Off, PowerState::Off),
        (PowerAction::Off, PowerState::Off),
        (PowerAction::On, PowerState::On),
        (PowerAction::On, PowerState::On),
        (PowerAction::Off, PowerState::Off),
        (PowerAction::Cycle, PowerState::On),
    ] {
        assert_eq!(does(&power, &machine, action).await, then, "{action:?}");
        assert_eq!(
            does(&power, &machine, PowerAction::Status).await,
            then,
            "after {action:?}"
        );
    }
    assert_eq!(power.restart(&machine, "enforcer").await, Ok(Means::Board));
    let told: Vec<String> = power
        .store
        .view()
        .events_after(0)
        .map(|e| e.draft.kind.clone())
        .collect();
    assert_eq!(told.iter().filter(|k| *k == "power.off").count(), 3);
    assert!(
        !told.contains(&"power.status".to_owned()),
        "looking is no event"
    );
}

#[tokio::test]
async fn ipmi_switches() {
    let board = IpmiSim::start().await;
    switches(&board.address()).await;
}

#[tokio::test]
async fn a_wrong_password_is_told_and_never_shown() {
    let board = IpmiSim::start().await;
    let (power, machine) = site(&board.address(), "wr0ng-one").await;
    let refused = power
        .switch(&machine, PowerAction::Off, "ann")
        .await
        .unwrap_err();
    assert!(matches!(&refused, PowerError::Board(_)), "{refused}");
    let last = power
        .store
        .view()
        .events_after(0)
        .next_back()
        .unwrap()
        .clone();
    assert_eq!(last.draft.kind, "power.failed");
    assert!(!format!("{refused} {last:?} {:?}", power.store.view()).contains("wr0ng-one"));
}

#[tokio::test]
async fn redfish_switches() {
    let board = Sushy::start(None).await;
    switches(&board.address()).await;
}

#[tokio::test]
async fn redfish_switches_over_tls_by_the_boards_own_certificate_and_no_other() {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["board".to_owned()];
    let cert = rcgen::CertificateParams::new(names)
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let board = Sushy::start(Some((cert.pem(), key.serialize_pem()))).await;
    let pin = <sha2::Sha256 as sha2::Digest>::digest(cert.der());
    switches(&format!(
        "{}?sha256={}",
        board.address(),
        crate::hex::of(&pin)
    ))
    .await;
    for wrong in [
        board.address(),
        format!("{}?sha256={}", board.address(), "ab".repeat(32)),
    ] {
        let (power, machine) = site(&wrong, PASSWORD).await;
        let told = power
            .switch(&machine, PowerAction::Status, "ann")
            .await
            .unwrap_err();
        assert!(
            told.to_string().contains("did not prove who it is"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_board_with_a_wrong_password_or_nobody_there_says_so() {
    let board = Sushy::start(None).await;
    let (power, machine) = site(&board.address(), "wrong").await;
    let told = power
        .switch(&machine, PowerAction::Status, "ann")
        .await
        .unwrap_err();
    assert!(told.to_string().contains("401"), "{told}");
    let (power, machine) = site("redfish+http://ann@127.0.0.1:1", "x").await;
    let told = power
        .switch(&machine, PowerAction::Status, "ann")
        .await
        .unwrap_err();
    assert!(told.to_string().contains("cannot be reached"), "{told}");
}

#[tokio::test]
async fn without_means_a_person_has_to_press_reset() {
    let (power, machine) = site("none", "").await;
    assert_eq!(
        power.restart(&machine, "enforcer").await,
        Ok(Means::PressReset)
    );
    assert_eq!(Means::PressReset.words(), "waiting: press reset");
    let told = power
        .switch(&machine, PowerAction::Cycle, "ann")
        .await
        .unwrap_err();
    assert_eq!(told, PowerError::NoMeans("web1".to_owned()));
}

#[tokio::test]
async fn who_hears_magic_packets_is_woken_and_not_switched_off() {
    let (power, machine) = site("wol", "").await;
    assert_eq!(means_of_restart(&power.store.view(), &machine), Means::Wake);
    let off = power.switch(&machine, PowerAction::Off, "ann").await;
    assert!(matches!(off, Err(PowerError::NoMeans(_))));
}
