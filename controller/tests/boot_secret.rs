//! The boot's secret, as it goes over boot HTTP: to the address that DHCP saw, in the script that is served, nowhere else.

mod site;

use enforcer::state::{
    policy::{Discovery, MeshPolicy, Policy},
    trust::Digest,
};
use ipxe::MacAddr;
use ipxe_net::{BootAuthority as _, BootNote};
use site::{Site, management};

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
