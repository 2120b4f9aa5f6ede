//! What goes wrong at the start, with the real program: one plain sentence each, which names the cure.

mod room;

use std::{fs, os::unix::fs::PermissionsExt as _};

use room::{ENFORCER, Room, Running, is_root, tell};

/// What makes a controller open no port but boot HTTP's.
const QUIET: &str = "mesh = false\ntftp = false\n[dhcp]\nmode = \"off\"\n";

/// Starts on `state` quietly; it must fail.
#[track_caller]
fn refused(room: &Room, state: &str, parts: &[&str]) {
    let config = room.file("quiet.toml", QUIET);
    let mut serve = room.serve(state, &["--log", "error", "--config"]);
    serve.arg(config);
    tell(serve).one_sentence(1, parts);
}

#[test]
fn a_missing_or_wrong_config_names_the_file_the_line_and_the_likely_key() {
    let room = Room::with_network();
    let start = |text: Option<&str>, parts: &[&str]| {
        let path = match text {
            Some(text) => room.file("c.toml", text),
            None => room.path("nowhere.toml"),
        };
        let mut serve = room.serve("s", &["--config"]);
        serve.arg(&path);
        tell(serve).one_sentence(1, parts);
    };
    start(
        None,
        &["cannot read the config file", "nowhere.toml", "--config"],
    );
    start(
        Some("discovry = \"all\"\n"),
        &[
            "discovry: there is no such setting",
            "did you mean 'discovery'?",
        ],
    );
    start(
        Some("tftp = true\nhttp_port = 48 80\n"),
        &["c.toml is not TOML: line 2: "],
    );
    start(
        Some("http_port = 0\n"),
        &["http_port: boot HTTP needs a port"],
    );
    let told = tell(room.serve("s", &["--dhcp", "proxi"]));
    told.one_sentence(
        1,
        &["--dhcp (ENFORCER_DHCP): 'proxi' is none of: proxy, server, off"],
    );
    let told = tell(room.serve("s", &["--log", "loud"]));
    told.one_sentence(1, &["'loud' is no log level", "info"]);
}

#[test]
fn a_taken_port_is_named_with_its_cure() {
    let room = Room::with_network();
    let first = Running::start(room.serve("a", &["--dhcp", "proxy"]));
    let quiet = ["--log", "error", "--dhcp", "off"];
    tell(room.serve("b", &quiet)).one_sentence(
        1,
        &[
            "boot HTTP on 0.0.0.0:4880",
            "another program has this port",
            "ss -lpn",
        ],
    );
    let elsewhere = ["--http-port", "4890", "--log", "error"];
    tell(room.serve("b", &elsewhere))
        .one_sentence(1, &["TFTP on 0.0.0.0:69", "another program has this port"]);
    let no_tftp = room.file("t.toml", "tftp = false\n");
    let mut proxy = room.serve("b", &elsewhere);
    proxy.arg("--config").arg(&no_tftp);
    tell(proxy).one_sentence(1, &["UDP port 4011 is taken", "stop its PXE service"]);
    let mut member = room.serve("b", &[&elsewhere[..], &["--dhcp", "off"]].concat());
    member.arg("--config").arg(&no_tftp);
    tell(member).one_sentence(
        1,
        &[
            "links of agents on 0.0.0.0:4848",
            "another program has this port",
        ],
    );
    first.kill();
    let mut taken = room.serve("c", &["--dhcp", "off", "--http-port", "4848", "--config"]);
    taken.arg(room.file("m.toml", "tftp = false\nmesh = false\n"));
    let taken = Running::start(taken);
    tell(room.serve("b", &quiet)).one_sentence(
        1,
        &[
            "bytes beside links of agents on 0.0.0.0:4848",
            "another program has this port",
        ],
    );
    taken.kill();
    let pools = "tftp = false\n[dhcp]\nmode = \"server\"\n[[dhcp.subnet]]\nnetwork = \"10.9.0.0/24\"\npool = \"10.9.0.50-10.9.0.99\"\n";
    let pools = room.file("p.toml", pools);
    let mut server = room.serve("a", &["--config"]);
    server.arg(&pools);
    let _server = Running::start(server);
    let mut second = room.serve("b", &elsewhere);
    second.arg("--config").arg(&pools);
    tell(second).one_sentence(1, &["UDP port 67 is taken by another DHCP", "--dhcp proxy"]);
}

#[test]
fn an_interface_or_address_that_is_not_there_is_named() {
    let room = Room::with_network();
    tell(room.serve("s", &["--log", "error", "--interface", "eth7"]))
        .one_sentence(1, &["no network interface 'eth7'", "v0"]);
    let config = room.file("l.toml", &format!("listen = \"192.0.2.9\"\n{QUIET}"));
    let mut serve = room.serve("s", &["--log", "error", "--config"]);
    serve.arg(config);
    tell(serve).one_sentence(
        1,
        &[
            "192.0.2.9:4880",
            "this host has no such address",
            "`listen`",
        ],
    );
}

#[test]
fn a_state_folder_that_is_read_only_or_full_or_no_folder_is_named() {
    let room = Room::with_network();
    let path = room.disk("ro", "4m");
    room.sh(&format!("mount -o remount,ro {}", path.display()));
    refused(
        &room,
        "ro",
        &["ro/enforcer.lock cannot be written", "mount it read-write"],
    );
    for size in ["16k", "64k", "400k"] {
        room.disk(size, size);
        refused(&room, size, &["full", "make room on it"]);
    }
    room.file("file", "");
    refused(
        &room,
        "file",
        &["cannot use the state folder", "name another with --state"],
    );
    refused(
        &room,
        "file/below",
        &["cannot use the state folder", "name another with --state"],
    );
}

#[test]
fn people_who_are_not_root_are_told_what_they_lack() {
    if !is_root() {
        // Everything below is about leaving root; the other tests run as this user anyway.
        return;
    }
    let room = Room::with_network();
    fs::set_permissions(room.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    fs::create_dir(room.path("roots")).unwrap();
    let quiet = room.file("quiet.toml", QUIET);
    let nobody = |state: &str, args: &[&str]| {
        let mut serve = room.command("setpriv");
        serve.args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            ENFORCER,
        ]);
        serve
            .arg("--api-socket")
            .arg(room.path("n.sock"))
            .args(["serve", "--log", "error", "--state"]);
        serve.arg(room.path(state)).args(args);
        tell(serve)
    };
    let quiet = quiet.to_str().unwrap();
    nobody("roots", &["--config", quiet])
        .one_sentence(1, &["cannot be written", "owner of that folder"]);
    nobody("roots/below", &["--config", quiet])
        .one_sentence(1, &["cannot use the state folder", "owner of that folder"]);
    nobody("own", &["--dhcp", "off"]).one_sentence(
        1,
        &[
            "TFTP on 0.0.0.0:69",
            "root or the capability CAP_NET_BIND_SERVICE",
        ],
    );
}

#[test]
fn a_second_controller_on_one_folder_or_socket_is_refused() {
    let room = Room::with_network();
    let quiet = room.file("quiet.toml", QUIET);
    let mut serve = room.serve("s", &["--config"]);
    serve.arg(&quiet);
    let _first = Running::start(serve);
    refused(&room, "s", &["another enforcer uses", "--state"]);
    let mut same_socket = room.command(ENFORCER);
    same_socket
        .arg("--api-socket")
        .arg(room.path("s.sock"))
        .args(["serve", "--log", "error", "--http-port", "4890", "--config"]);
    same_socket.arg(&quiet).arg("--state").arg(room.path("t"));
    tell(same_socket).one_sentence(1, &["another Enforcer already serves", "--api-socket"]);
}

#[test]
fn a_socket_that_cannot_be_made_is_named() {
    let room = Room::with_network();
    let quiet = room.file("quiet.toml", QUIET);
    let mut serve = room.command(ENFORCER);
    serve.args([
        "--api-socket",
        "/proc/nowhere/api.sock",
        "serve",
        "--log",
        "error",
        "--config",
    ]);
    serve.arg(quiet).arg("--state").arg(room.path("s"));
    tell(serve).one_sentence(
        1,
        &[
            "cannot make the API socket /proc/nowhere/api.sock",
            "--api-socket",
        ],
    );
}

#[test]
fn damaged_files_of_ours_are_named_with_what_to_do() {
    let room = Room::with_network();
    room.file("a/enforcer.redb", "this is no database");
    refused(
        &room,
        "a",
        &["enforcer.redb is damaged", "restore a backup"],
    );
    room.file("b/firmware/manifest.json", "{\"files\": 7}");
    refused(
        &room,
        "b",
        &["manifest.json is damaged", "remove it and start again"],
    );
}

#[test]
fn a_spoiled_or_lost_firmware_file_is_told_and_not_served() {
    let room = Room::with_network();
    let file = |name: &str| {
        format!(
            "{{\"name\":\"{name}\",\"sha256\":\"{}\",\"size\":5,\"used_for\":\"uefi-arm64\",\"origin\":\"test\"}}",
            "0".repeat(64)
        )
    };
    room.file(
        "s/firmware/manifest.json",
        &format!(
            "{{\"files\":[{},{}]}}",
            file("spoiled.efi"),
            file("lost.efi")
        ),
    );
    room.file("s/firmware/spoiled.efi", "12345");
    let quiet = room.file("quiet.toml", QUIET);
    let mut serve = room.serve("s", &["--config"]);
    let mut child = serve
        .arg(&quiet)
        .env("ENFORCER_LOG", "warn")
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let told: Vec<String> = lines
        .by_ref()
        .map(Result::unwrap)
        .take_while(|l| !l.contains("arm64 UEFI machines"))
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    for part in [
        "firmware spoiled.efi: its bytes are not those of the manifest; it is not served",
        "firmware lost.efi: the file is missing; it is not served",
    ] {
        assert!(
            told.iter().any(|l| l.contains(part)),
            "missing {part:?} in {told:?}"
        );
    }
    assert!(
        told.iter().all(|l| !l.contains('\u{1b}')),
        "a log that is no terminal has no colours: {told:?}"
    );
}

#[test]
fn the_command_line_without_a_controller_ends_with_4_and_with_an_unknown_machine_with_3() {
    let room = Room::with_network();
    room.ask("s", &["machines", "list"])
        .one_sentence(4, &["cannot reach the controller", "enforcer serve"]);
    let quiet = room.file("quiet.toml", QUIET);
    let mut serve = room.serve("s", &["--config"]);
    serve.arg(quiet);
    let _running = Running::start(serve);
    room.ask("s", &["machines", "show", "web9"])
        .one_sentence(3, &["no machine is called 'web9'", "machines list"]);
    room.ask(
        "s",
        &["boot-configs", "set", "x", "--kernel", "/nowhere/vmlinuz"],
    )
    .one_sentence(1, &["/nowhere/vmlinuz"]);
}
