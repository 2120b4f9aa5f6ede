//! `enforcer doctor` in rooms where something is wrong: a real dnsmasq on the wire and on our ports, a spoiled state folder.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod room;

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use room::{Room, Running};
use serde_json::Value;

/// Both ends of the cable are in one network here, so each must take packets from an address of this host.
const BOTH_ENDS: &str = "ip addr add 10.9.0.2/24 dev v1; \
    for c in all v0 v1; do echo 0 > /proc/sys/net/ipv4/conf/$c/rp_filter; echo 1 > /proc/sys/net/ipv4/conf/$c/accept_local; done";
const SERVER: &str = "interfaces = [\"v0\"]\n[dhcp]\nmode = \"server\"\n[[dhcp.subnet]]\nnetwork = \"10.9.0.0/24\"\npool = \"10.9.0.50-10.9.0.99\"\n";

/// What it finds, `grade code: text` each, and its exit code.
fn examined(room: &Room, config: &str) -> (Vec<String>, Option<i32>) {
    let config = room.file("c.toml", config);
    let state = room.path("state");
    let arguments = ["doctor", "-o", "json", "--config"].map(str::to_owned);
    let place = [
        config.display().to_string(),
        "--state".to_owned(),
        state.display().to_string(),
    ];
    let all: Vec<String> = arguments.into_iter().chain(place).collect();
    let told = room.ask("state", &all.iter().map(String::as_str).collect::<Vec<_>>());
    let found: Vec<Value> =
        serde_json::from_str(&told.stdout).unwrap_or_else(|e| panic!("{e}: {told:?}"));
    let text = |f: &Value, key: &str| f[key].as_str().unwrap().to_owned();
    for f in &found {
        let bad = f["grade"] != "good";
        assert_eq!(
            bad,
            !text(f, "cure").is_empty(),
            "what is bad has a cure: {f}"
        );
    }
    let lines = found.iter().map(|f| {
        format!(
            "{} {}: {}",
            text(f, "grade"),
            text(f, "code"),
            text(f, "found")
        )
    });
    (lines.collect(), told.code)
}

#[track_caller]
fn has(found: &[String], wanted: &str, part: &str) {
    let fits = |line: &&String| line.starts_with(wanted) && line.contains(part);
    assert!(
        found.iter().any(|l| fits(&l)),
        "no '{wanted}' with '{part}' in {found:#?}"
    );
}

const NOTHING_FITS: &str = r#"
interfaces = ["v9"]
listen = "10.9.9.9"
[api]
listen = "127.0.0.1:4843"
[oidc]
issuer = "http://127.0.0.1:9"
client_id = "enforcer"
public_url = "https://boot.lab"
[[oidc.roles]]
claim = "groups"
value = "boot"
role = "viewer"
"#;

#[test]
fn another_dhcp_server_and_who_has_a_port_are_named() {
    let room = Room::with_network();
    room.sh(BOTH_ENDS);
    let mut dnsmasq = room.command("dnsmasq");
    dnsmasq.args([
        "--no-daemon",
        "--conf-file=/dev/null",
        "--port=0",
        "--user=root",
        "--interface=v1",
        "--bind-interfaces",
        "--dhcp-range=10.9.0.100,10.9.0.120,10m",
        "--pid-file=",
        "--dhcp-leasefile=/dev/null",
        "--enable-tftp",
        "--tftp-root=/",
    ]);
    let _dnsmasq = Running::start_until(dnsmasq, "DHCP, IP range");
    let (found, code) = examined(&room, SERVER);
    has(
        &found,
        "problem dhcp-foreign:",
        "10.9.0.2 gives addresses on v0, too",
    );
    has(
        &found,
        "problem port-taken:",
        "UDP port 69 (TFTP) is taken by dnsmasq",
    );
    has(
        &found,
        "note controller-away:",
        "cannot reach the controller",
    );
    assert_eq!(code, Some(1));
    // To a proxy it is welcome, and port 67 is its own.
    let (found, _) = examined(&room, "interfaces = [\"v0\"]\ntftp = false\n");
    has(&found, "good dhcp:", "10.9.0.2 gives addresses on v0");
    has(&found, "good ports:", "free");
    let (found, code) = examined(&room, NOTHING_FITS);
    has(
        &found,
        "problem interface-missing:",
        "'v9'; with an address are: v0, v1",
    );
    has(&found, "problem address-missing:", "10.9.9.9");
    has(
        &found,
        "problem oidc-away:",
        "http://127.0.0.1:9: the provider was asked for what it is: 127.0.0.1 cannot be reached",
    );
    assert_eq!(code, Some(1));
}

#[test]
fn a_spoiled_state_folder_is_told_piece_by_piece() {
    let room = Room::with_network();
    let quiet = "interfaces = [\"v0\"]\ntftp = false\n[dhcp]\nmode = \"off\"\n";
    let (found, code) = examined(&room, quiet);
    has(&found, "note state-missing:", "there is no state folder");
    has(&found, "warning dhcp-none:", "v0");
    assert_eq!(code, Some(0), "warnings are no failure: {found:#?}");

    let config = room.file("quiet.toml", quiet);
    let mut serve = room.serve("state", &["--config"]);
    serve.arg(config);
    let running = Running::start(serve);
    let (found, code) = examined(&room, quiet);
    has(&found, "good controller:", "answers");
    has(&found, "good ports:", "4880");
    has(&found, "good ca:", "home");
    has(&found, "good disk:", "µs");
    assert_eq!(code, Some(0), "{found:#?}");
    drop(running);

    let state = room.path("state");
    let key = state.join("ca/ca.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let database = fs::File::options()
        .write(true)
        .open(state.join("enforcer.redb"))
        .unwrap();
    let day = Duration::from_secs(86_400);
    database
        .set_modified(std::time::SystemTime::now() + day)
        .unwrap();
    let (found, code) = examined(&room, quiet);
    has(&found, "problem key-readable:", "ca.key");
    has(
        &found,
        "problem clock-behind:",
        "the controller wrote something down at",
    );
    assert_eq!(code, Some(1));
    assert!(!found.iter().any(|f| f.contains("clock:")), "{found:#?}");

    let (found, _) = examined(&room, &quiet.replace("tftp", "site = \"other\"\ntftp"));
    has(&found, "problem ca-other-site:", "home");
    fs::remove_file(&key).unwrap();
    let (found, _) = examined(&room, quiet);
    has(&found, "problem ca-damaged:", "not whole");
    let (found, code) = examined(&room, "discovry = 1\n");
    has(
        &found,
        "problem config-invalid:",
        "did you mean 'discovery'?",
    );
    assert_eq!((found.len(), code), (1, Some(1)));
}

#[test]
fn a_small_disk_is_told_and_nothing_is_left_on_it() {
    let room = Room::with_network();
    let state = room.disk("state", "8m");
    let (found, code) = examined(&room, "interfaces = [\"v0\"]\n[dhcp]\nmode = \"off\"\n");
    has(&found, "problem disk-full:", "MiB are free");
    assert_eq!(code, Some(1));
    room.sh(&format!("test -z \"$(ls -A {})\"", state.display()));
}
