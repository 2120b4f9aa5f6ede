//! The look-up order: config due → management OS → peers → local disk, each step proven by taking the earlier away, by
//! the decision itself and by what boot HTTP really serves.

mod site;

use std::time::Duration;

use enforcer::state::{
    Record, Timestamp, View, Write,
    activation::{Activation, Kind, Nonce, Stage},
    boot::{BootRequest, Decision, decide},
    machine::{Machine, MachineId, Standing},
    ops::{Deactivate, MachineRef, UpdateMachine},
    policy::{Discovery, Policy},
};
use ipxe::{Arch, BootOffer, BootPlan, Firmware, LocalBoot, MacAddr, PxeClient};
use ipxe_net::BootAuthority as _;
use site::{Site, kernel_config, management};

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 1]);
const STRANGER: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 2]);
const DAY: Duration = Duration::from_secs(24 * 3600);
const ORDER: [&str; 4] = ["config", "management-os", "peers", "local-disk"];

fn with_management(discovery: Discovery) -> Policy {
    Policy {
        discovery,
        management: vec![management()],
        ..Policy::default()
    }
}

/// The decision took exactly the first `steps` rules of the order, and the last of them decided.
#[track_caller]
fn ends_at(decision: &Decision, steps: usize) {
    let rules: Vec<&str> = decision.why.iter().map(|w| w.rule).collect();
    assert_eq!(rules, ORDER[..steps], "{:?}", decision.why);
    let decided: Vec<bool> = decision.why.iter().map(|w| w.decided).collect();
    let mut expected = vec![false; steps];
    expected[steps - 1] = true;
    assert_eq!(decided, expected, "{:?}", decision.why);
}

#[tokio::test]
async fn each_step_follows_when_the_earlier_is_taken_away() {
    let site = Site::new(with_management(Discovery::Registered));
    site.register(MAC, "web1").await;
    site.set(kernel_config("live", "quiet")).await;
    let armed = site.activate("web1", "live").await;

    ends_at(&site.peek(MAC, Some("a"), false), 1);
    let script = site.script(MAC, "a").await;
    assert!(
        script.contains("web1 boots its config") && script.contains(&armed.nonce.to_string()),
        "{script}"
    );

    site.apply(Deactivate(MachineRef("web1".into())))
        .await
        .unwrap();
    let decision = site.peek(MAC, Some("b"), false);
    ends_at(&decision, 2);
    assert!(
        decision.why[0].found.contains("deactivated by a person"),
        "{:?}",
        decision.why
    );
    assert!(
        site.script(MAC, "b")
            .await
            .contains("web1 boots the management OS")
    );

    // The download of the management OS failed in this boot.
    let decision = site.peek(MAC, Some("b"), true);
    ends_at(&decision, 4);
    assert_eq!(decision.why[1].found, "could not be loaded in this boot");
    let (_, script) = site
        .get(&format!("/boot/{MAC}?session=b&after=management"))
        .await;
    assert!(script.contains("web1 boots its own disk"), "{script}");

    // None is installed any more; the day is over, so only that keeps it away.
    site.clock.advance(DAY);
    site.policy(|p| p.management.clear()).await;
    let decision = site.peek(MAC, Some("c"), false);
    ends_at(&decision, 4);
    assert!(
        decision.why[1]
            .found
            .contains("enforcer management-os build"),
        "{:?}",
        decision.why
    );
    assert_eq!(decision.why[2].found, "no remote Enforcer is configured");
    assert!(
        site.script(MAC, "c")
            .await
            .contains("web1 boots its own disk")
    );

    site.policy(|p| (p.management, p.discovery) = (vec![management()], Discovery::Off))
        .await;
    let decision = site.peek(MAC, Some("d"), false);
    ends_at(&decision, 4);
    assert_eq!(decision.why[1].found, "discovery is off");
}

#[tokio::test]
async fn a_machine_gets_one_discovery_boot_a_day_and_the_same_boot_gets_it_again() {
    let site = Site::new(with_management(Discovery::Registered));
    site.register(MAC, "web1").await;
    let discovers = async |session: &str| {
        let script = site.script(MAC, session).await;
        assert_ne!(
            script.contains("management OS"),
            script.contains("own disk"),
            "{script}"
        );
        script.contains("management OS")
    };
    assert!(discovers("a").await);
    assert!(
        discovers("a").await,
        "a retry of the same boot gets it again"
    );
    assert!(!discovers("b").await, "the day's boot was had");
    site.clock.advance(DAY - Duration::from_secs(1));
    assert!(!discovers("c").await);
    site.clock.advance(Duration::from_secs(1));
    assert!(discovers("d").await, "a day later there is another");
    assert!(!discovers("a").await, "an old boot is no retry");
    // A wish of a person needs no discovery and does not wait for the day.
    site.set(kernel_config("live", "")).await;
    site.activate("web1", "live").await;
    assert!(site.script(MAC, "e").await.contains("boots its config"));
}

#[tokio::test]
async fn looking_takes_nothing_away() {
    let site = Site::new(with_management(Discovery::Registered));
    site.register(MAC, "web1").await;
    site.set(kernel_config("live", "")).await;
    for _ in 0..30 {
        ends_at(&site.peek(MAC, None, false), 2);
        assert_eq!(
            site.api(&format!("/explain?mac={MAC}")).await.1["plan"],
            "management-os"
        );
    }
    site.activate("web1", "live").await;
    let before = site.view();
    for _ in 0..30 {
        ends_at(&site.peek(MAC, None, false), 1);
        site.get(&format!("/v1/boot/{MAC}")).await;
        site.api(&format!("/explain?mac={MAC}")).await;
    }
    assert!(
        before.activations().eq(site.view().activations()),
        "looking claims nothing"
    );
    assert!(before.machines().eq(site.view().machines()));
}

fn clients(mac: MacAddr) -> impl Iterator<Item = PxeClient> {
    let kinds = [
        (Firmware::Bios, false),
        (Firmware::Bios, true),
        (Firmware::UefiPxe(Arch::X64), false),
        (Firmware::UefiHttp(Arch::X64), false),
        (Firmware::UefiPxe(Arch::Arm64), false),
        (Firmware::RaspberryPi, false),
    ];
    kinds.into_iter().map(move |(firmware, ipxe)| PxeClient {
        mac,
        uuid: None,
        firmware,
        ipxe,
    })
}

#[tokio::test]
async fn strangers_and_seen_machines_are_not_answered_and_claim_nothing() {
    for discovery in [Discovery::Off, Discovery::Registered] {
        let site = Site::new(with_management(discovery));
        for turn in ["unknown", "seen"] {
            for client in clients(STRANGER) {
                assert_eq!(
                    site.desk.offer(&client),
                    BootOffer::Silent,
                    "{turn} {client:?}"
                );
            }
            assert_eq!(site.peek(STRANGER, Some("a"), false).plan, BootPlan::Silent);
            let script = site.script(STRANGER, "a").await;
            assert!(
                !script.contains("kernel ") && !script.contains("/boot/n/"),
                "{script}"
            );
            assert!(script.contains("exit"), "it ends at the disk: {script}");
            assert_eq!(site.get(&format!("/v1/boot/{STRANGER}")).await.0, 404);
            // Fetching the script made it a seen machine, nothing more.
            site.store.flush().await.unwrap();
            let machine = site.view().machine_by_mac(STRANGER).unwrap().clone();
            assert_eq!(
                (machine.standing, &machine.discovery),
                (Standing::Seen, &None)
            );
        }
        assert_eq!(site.view().activations().count(), 0);
    }
}

#[tokio::test]
async fn with_discovery_all_a_stranger_gets_the_management_os_once_then_its_disk() {
    let site = Site::new(with_management(Discovery::All));
    let ipxe = clients(STRANGER).find(|c| c.ipxe).unwrap();
    assert_eq!(site.desk.offer(&ipxe), BootOffer::Script);
    assert!(
        site.script(STRANGER, "a")
            .await
            .contains("boots the management OS")
    );
    assert!(
        site.script(STRANGER, "b")
            .await
            .contains("boots its own disk")
    );
    let machine = site.view().machine_by_mac(STRANGER).unwrap().clone();
    assert_eq!(machine.standing, Standing::Seen);
}

/// No transition arms a config for a seen machine; but if a store ever held one, it would not be served.
#[test]
fn a_seen_machine_is_never_served_a_config_whatever_the_store_holds() {
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    for discovery in [Discovery::Off, Discovery::Registered, Discovery::All] {
        let mut view = View::default();
        view.policy = with_management(discovery).into();
        let mut machine = Machine::seen(MachineId::from_random(1), STRANGER, now);
        view.absorb(&Write::Put(Record::Machine(machine.clone().into())));
        view.absorb(&Write::Put(Record::Activation(armed(&machine, now).into())));
        let request = BootRequest {
            mac: STRANGER,
            arch: None,
            session: Some("a".into()),
            after_management: false,
            base: "http://192.0.2.1:4880".into(),
            known_address: None,
            controller: None,
            peers: Default::default(),
        };
        let decision = decide(&request, &view, now);
        assert!(
            !matches!(decision.plan, BootPlan::Config(_)),
            "{decision:?}"
        );
        assert!(
            decision.why[0].found.contains("only seen: register it"),
            "{:?}",
            decision.why
        );
        // The same machine, registered: it was the standing alone that kept it away.
        machine.standing = Standing::Registered;
        view.absorb(&Write::Put(Record::Machine(machine.into())));
        assert!(matches!(
            decide(&request, &view, now).plan,
            BootPlan::Config(_)
        ));
    }
}

fn armed(machine: &Machine, now: Timestamp) -> Activation {
    Activation {
        id: View::default().next_activation(),
        nonce: Nonce::from_random(1),
        machine: machine.id.clone(),
        config: kernel_config("live", ""),
        kind: Kind::OneShot,
        selected: None,
        discovery: false,
        stage: Stage::Armed,
        sessions: Vec::new(),
        addresses: Vec::new(),
        taken: None,
        given: None,
        lent: None,
        reason: None,
        until: None,
        armed: now,
        closed: None,
    }
}

#[tokio::test]
async fn explain_says_the_words_of_the_decision() {
    let site = Site::new(with_management(Discovery::Registered));
    let same = async |mac: MacAddr, after: bool| {
        let decision = site.peek(mac, None, after);
        let (status, told) = site
            .api(&format!(
                "/explain?mac={mac}&arch=x64&after_management={after}"
            ))
            .await;
        assert_eq!(status, 200, "{told}");
        assert_eq!(told["plan"], decision.plan.kind());
        let why: Vec<_> = decision
            .why
            .iter()
            .map(|w| serde_json::json!({"rule": w.rule, "decided": w.decided, "found": w.found}))
            .collect();
        assert_eq!(told["why"], serde_json::Value::from(why));
    };
    same(STRANGER, false).await;
    site.script(STRANGER, "s").await;
    site.store.flush().await.unwrap();
    same(STRANGER, false).await;
    site.register(MAC, "web1").await;
    same(MAC, false).await;
    same(MAC, true).await;
    site.set(kernel_config("live", "")).await;
    site.activate("web1", "live").await;
    same(MAC, false).await;
    site.script(MAC, "a").await;
    same(MAC, false).await;
    site.apply(Deactivate(MachineRef("web1".into())))
        .await
        .unwrap();
    site.script(MAC, "b").await;
    same(MAC, false).await;
}

#[tokio::test]
async fn a_machines_own_way_to_its_disk_beats_the_sites() {
    let site = Site::new(Policy {
        local_boot: LocalBoot::Sanboot,
        ..Policy::default()
    });
    site.register(MAC, "web1").await;
    assert_eq!(
        site.peek(MAC, None, false).plan,
        BootPlan::LocalDisk(LocalBoot::Sanboot)
    );
    assert!(site.script(MAC, "a").await.contains("sanboot"));
    let own = UpdateMachine {
        machine: MachineRef("web1".into()),
        name: None,
        local_boot: Some(LocalBoot::ExitFailure),
        labels: Default::default(),
        owner: None,
    };
    site.apply(own).await.unwrap();
    assert_eq!(
        site.peek(MAC, None, false).plan,
        BootPlan::LocalDisk(LocalBoot::ExitFailure)
    );
    let script = site.script(MAC, "b").await;
    assert!(
        script.contains("exit 1") && !script.contains("sanboot"),
        "{script}"
    );
    // It also holds where a config ends when it cannot be loaded.
    site.set(kernel_config("live", "")).await;
    site.activate("web1", "live").await;
    let script = site.script(MAC, "c").await;
    let (_, after) = script.split_once(":failed").unwrap();
    assert!(
        after.contains("exit 1") && !after.contains("sanboot"),
        "{script}"
    );
    assert_eq!(
        site.api(&format!("/explain?mac={MAC}")).await.1["local_boot"],
        "exit-failure"
    );
}

/// Prometheus cannot scrape a socket, so what is known is told on boot HTTP too; to this host only.
#[tokio::test]
async fn metrics_on_boot_http_tell_what_is_known_beside_what_was_counted() {
    let site = Site::new(Policy::default());
    site.register(MAC, "web1").await;
    site.script(MAC, "a").await;
    let (status, text) = site.get("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "enforcer_machines{standing=\"registered\"} 1\n",
        "enforcer_store_total{what=\"commits\"} ",
        "enforcer_boot_requests_total{kind=\"boot\"} 1\n",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
}
