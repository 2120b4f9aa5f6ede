//! The boot's secret, and configs that demand a proved key, as they go over boot HTTP: to the address that DHCP saw, in the
//! script that is served, nowhere else.

mod site;

use enforcer::state::{
    config::BootConfig,
    machine::MachineId,
    ops::{Claim, Enrol, EnrolOutcome},
    policy::{Discovery, MeshPolicy, Policy},
    trust::{Digest, key::Serial},
};
use ipxe::MacAddr;
use ipxe_net::{BootAuthority as _, BootNote};
use mesh_proto::{
    facts::{Cpu, FACTS_VERSION, FirmwareMode, HardwareFacts, Memory, Nic, Smbios},
    message::{
        Secret,
        enrol::{KeyKind, Level},
    },
};
use site::{Site, kernel_config, management};

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 1]);

fn site() -> Site {
    Site::new(Policy {
        discovery: Discovery::Registered,
        management: vec![management()],
        mesh: Some(MeshPolicy {
            site: "home".to_owned(),
            ca_sha256: Digest::of(b"ca"),
            port: 4848,
        }),
        ..Policy::default()
    })
}

fn requested(site: &Site) {
    let note = BootNote::AddressRequested {
        mac: MAC,
        ip: [127, 0, 0, 1].into(),
    };
    site.desk.note(note);
}

fn secret_in(script: &str) -> Option<String> {
    let (_, rest) = script.split_once("enforcer.secret=")?;
    let secret: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
    assert_eq!(secret.len(), 32, "{script}");
    Some(secret)
}

#[tokio::test]
async fn the_script_has_a_secret_only_for_the_address_that_dhcp_saw() {
    let site = site();
    site.register(MAC, "web1").await;
    let stranger = site.script(MAC, "a").await;
    assert!(stranger.contains("boots the management OS"), "{stranger}");
    assert!(
        stranger.contains("enforcer.controller=127.0.0.1:4848"),
        "{stranger}"
    );
    assert_eq!(secret_in(&stranger), None);
    requested(&site);
    let own = secret_in(&site.script(MAC, "b").await);
    assert!(own.is_some());
    assert_eq!(
        secret_in(&site.script(MAC, "b").await),
        own,
        "a retry of the same boot"
    );
    // Five minutes later the address may be anybody's.
    site.clock.advance(std::time::Duration::from_secs(301));
    assert_eq!(secret_in(&site.script(MAC, "b").await), None);
    let kept = site.view().machine_by_mac(MAC).unwrap().discovery.clone();
    let kept = kept.unwrap().secret.unwrap();
    assert_eq!(
        Some(kept.secret.expose().to_owned()),
        own,
        "the good one stays"
    );
}

#[tokio::test]
async fn looking_shows_no_secret_and_no_event_has_one() {
    let site = site();
    site.register(MAC, "web1").await;
    requested(&site);
    let secret = secret_in(&site.script(MAC, "a").await).unwrap();
    let mut shown = vec![site.get(&format!("/v1/boot/{MAC}")).await.1];
    for path in [
        "/explain?mac=web1",
        "/machines",
        "/machines/web1",
        "/events",
    ] {
        let (status, told) = site.api(path).await;
        assert_eq!(status, 200, "{path}: {told}");
        shown.push(told.to_string());
    }
    site.store.flush().await.unwrap();
    shown.extend(site.view().events_after(0).map(|e| format!("{e:?}")));
    shown.push(format!("{:?}", site.peek(MAC, Some("a"), false)));
    for text in shown {
        assert!(!text.contains(&secret), "{text}");
    }
}

fn facts() -> HardwareFacts {
    HardwareFacts {
        v: FACTS_VERSION,
        arch: "x86_64".to_owned(),
        firmware: FirmwareMode::Bios,
        secure_boot: None,
        tpm: None,
        smbios: Smbios::default(),
        cpu: Cpu {
            model: None,
            sockets: 1,
            cores: 1,
            threads: 1,
        },
        memory: Memory {
            bytes: 1 << 30,
            usable_bytes: 1 << 30,
        },
        nics: vec![Nic {
            name: "eth0".to_owned(),
            mac: MAC.to_string(),
            permanent_mac: None,
            driver: None,
            speed_mbps: None,
            link: true,
        }],
        disks: Vec::new(),
        pci: Vec::new(),
        kernel: None,
    }
}

/// The management OS that had this secret in its script proves a key at T1.
async fn enrols(site: &Site, secret: &str) {
    let enrol = Enrol {
        key: Digest::of(b"its key"),
        serial: Serial::new("01"),
        kind: KeyKind::Boot,
        claim: Claim::Boot {
            mac: MAC,
            shown: Some(Secret::new(secret.to_owned())),
        },
        facts: facts(),
        boot_id: "boot-1".to_owned(),
        agent: "0.1.0".to_owned(),
        code: "0001-0001".to_owned(),
        from: [127, 0, 0, 1].into(),
        known_as: Some(MAC),
        fresh_id: MachineId::from_random(2),
    };
    let outcome = site.apply(enrol).await;
    assert!(matches!(outcome, EnrolOutcome::Granted(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_config_for_proved_keys_goes_only_to_an_address_that_dhcp_saw() {
    let site = site();
    site.register(MAC, "web1").await;
    requested(&site);
    let secret = secret_in(&site.script(MAC, "a").await).unwrap();
    enrols(&site, &secret).await;
    site.clock.advance(std::time::Duration::from_secs(301));

    let mut config = BootConfig {
        level: Some(Level::T1),
        ..kernel_config("guarded", "quiet")
    };
    let text = "for web1 alone".to_owned();
    config
        .answers
        .insert("answers.cfg".to_owned(), text.clone());
    site.set(config).await;
    let armed = site.activate("web1", "guarded").await;
    let answers = format!("/boot/n/{}/answers.cfg", armed.nonce);
    let (nonce, pixiecore) = (armed.nonce.to_string(), format!("/v1/boot/{MAC}"));

    let stranger = site.script(MAC, "b").await;
    assert!(!stranger.contains(&nonce), "{stranger}");
    let (status, told) = site.get(&answers).await;
    assert_eq!(status, 403, "{told}");
    assert!(
        !told.contains(&text) && told.contains("127.0.0.1"),
        "{told}"
    );
    let (status, told) = site.get(&pixiecore).await;
    assert_eq!(status, 404, "pixiecore does not say who asks it: {told}");

    requested(&site);
    assert!(site.script(MAC, "c").await.contains(&nonce));
    assert_eq!(site.get(&answers).await, (200, text.clone()));
    // The installer asks for the last of its files long after its DHCP request.
    site.clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(site.get(&answers).await, (200, text));
    assert_eq!(site.get(&pixiecore).await.0, 404);
}
