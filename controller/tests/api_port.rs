//! The API on the network, with the real program: who is let in, by what it proves who it is, and the command line from afar.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod room;

use std::process::Command;

use room::{ENFORCER, Room, Running, Told, tell};

const CONFIG: &str = r#"
tftp = false
[dhcp]
mode = "off"
[api]
listen = "0.0.0.0:4843"
names = ["boot.lab.example"]
"#;

/// A controller with a port, and a token for it.
struct Place {
    room: Room,
    running: Running,
    token: String,
}

impl Place {
    fn start() -> Self {
        let room = Room::with_network();
        let config = room.file("enforcer.toml", CONFIG);
        let mut serve = room.serve("s", &["--config"]);
        serve.arg(config);
        let running = Running::start(serve);
        let made = room.ask("s", &["tokens", "create", "ci", "--role", "operator"]);
        assert_eq!(made.code, Some(0), "{made:?}");
        let token = made.stdout.trim().to_owned();
        room.file("token", &token);
        Self {
            room,
            running,
            token,
        }
    }

    fn path(&self, name: &str) -> String {
        self.room.path(name).display().to_string()
    }

    /// The status that `curl` was answered with, and how it ended.
    fn curl(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut curl = self.room.command("curl");
        curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"]);
        let told = tell(with(curl, args));
        (told.code, told.stdout)
    }

    /// A command line somewhere else: it knows no socket.
    fn afar(&self, args: &[&str]) -> Told {
        let mut afar = self.room.command(ENFORCER);
        afar.env("XDG_CONFIG_HOME", self.path("config"));
        tell(with(afar, args))
    }
}

fn with(mut command: Command, args: &[&str]) -> Command {
    command.args(args);
    command
}

#[test]
fn the_port_proves_who_it_is_and_lets_in_who_shows_a_token() {
    let place = Place::start();
    // Opens a connection and says nothing: it is shut out in the end.
    let silent = ["-c", "exec 3<>/dev/tcp/10.9.0.1/4843; cat <&3"];
    let silent = with(place.room.command("bash"), &silent);
    let silent = std::thread::spawn(move || tell(silent));
    let ca = place.path("s/ca/ca.crt");
    let shown = format!("Authorization: Bearer {}", place.token);
    let machines = |host: &str| format!("https://{host}:4843/api/v1/machines");
    let (by_ip, by_name) = (machines("10.9.0.1"), machines("boot.lab.example"));
    let here = "boot.lab.example:4843:10.9.0.1";
    let elsewhere = "elsewhere.example:4843:10.9.0.1";
    let good = (Some(0), "200".to_owned());
    let known = |url: &str| place.curl(&["--cacert", &ca, "-H", &shown, "--resolve", here, url]);
    assert_eq!(known(&by_ip), good);
    assert_eq!(known(&by_name), good);
    let unproved = |args: &[&str]| assert_eq!(place.curl(args).0, Some(60), "{args:?}");
    unproved(&["-H", &shown, &by_ip]);
    let other = machines("elsewhere.example");
    unproved(&["--cacert", &ca, "--resolve", elsewhere, &other]);
    assert_eq!(place.curl(&["--cacert", &ca, &by_ip]).1, "401");
    let wrong = format!(
        "Authorization: Bearer {}",
        place.token.replace("enf_", "enf_0")
    );
    assert_eq!(
        place.curl(&["--cacert", &ca, "-H", &wrong, &by_ip]).1,
        "401"
    );
    let old = ["--cacert", &ca, "--tls-max", "1.1", &by_ip];
    assert_eq!(place.curl(&old).0, Some(35), "TLS 1.1 is not spoken");
    let plain = by_ip.replace("https", "http");
    assert_ne!(place.curl(&[&plain]).0, Some(0));
    let told = place.running.wait_for("API refusal").join("\n");
    assert!(told.contains("from=10.9.0.1"), "{told}");
    assert!(!told.contains(&place.token[17..]), "the log has the secret");
    let revoked = place.room.ask("s", &["tokens", "revoke", "ci"]);
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    assert_eq!(known(&by_ip).1, "401");
    assert_eq!(silent.join().unwrap().stdout, "");
    let mut curl = place.room.command("curl");
    curl.args([
        "-sS",
        "--unix-socket",
        &place.path("s.sock"),
        "http://local/metrics",
    ]);
    let metrics = tell(curl).stdout;
    for reason in ["slow-handshake", "handshake", "unauthenticated"] {
        let counted = format!("enforcer_api_refusals_total{{reason=\"{reason}\"}}");
        assert!(metrics.contains(&counted), "{reason}: {metrics}");
    }
}

#[test]
fn the_command_line_works_from_afar_with_a_context() {
    let place = Place::start();
    let (ca, token) = (place.path("s/ca/ca.crt"), place.path("token"));
    let at = "https://10.9.0.1:4843";
    let add = |name: &str, more: &[&str]| {
        let args = [
            "contexts",
            "add",
            name,
            "--server",
            at,
            "--token-file",
            &token,
        ];
        place.afar(&[&args[..], more].concat())
    };
    add("lab", &[]).one_sentence(
        4,
        &["cannot reach the controller", "--ca-file", "--fingerprint"],
    );
    let added = add("lab", &["--ca-file", &ca]);
    assert_eq!(added.code, Some(0), "{added:?}");
    assert!(
        added.stderr.contains("token/ci:root there (operator)"),
        "{added:?}"
    );
    let done = |args: &[&str]| {
        let told = place.afar(args);
        assert_eq!(told.code, Some(0), "{args:?}: {told:?}");
        told.stdout
    };
    let register = [
        "machines",
        "register",
        "52:54:00:77:00:01",
        "--name",
        "web1",
    ];
    done(&[&["--context", "lab"], &register[..]].concat());
    place
        .afar(&["machines", "list"])
        .one_sentence(4, &["cannot reach the controller"]);
    done(&["contexts", "use", "lab"]);
    assert!(done(&["machines", "list"]).contains("web1"));
    let disk = place.room.file("disk.raw", &"x".repeat(3 << 20));
    done(&["images", "push", &disk.display().to_string(), "debian"]);
    let print = fingerprint(&std::fs::read_to_string(&ca).unwrap());
    let pinned = add("pinned", &["--fingerprint", &print]);
    assert_eq!(pinned.code, Some(0), "{pinned:?}");
    let other = add("other", &["--fingerprint", &"ab".repeat(32)]);
    other.one_sentence(4, &["another certificate", "somebody stands between"]);
    let listed = done(&["contexts", "list"]);
    assert!(
        listed.contains("*  lab") && listed.contains("pinned"),
        "{listed}"
    );
    assert!(!listed.contains(&place.token), "{listed}");
    let revoked = place.room.ask("s", &["tokens", "revoke", "ci"]);
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    place
        .afar(&["machines", "list"])
        .one_sentence(5, &["the token ci was revoked"]);
    done(&["contexts", "remove", "lab"]);
    drop(place.running);
}

#[test]
fn people_sign_in_over_tls_and_stay_signed_in_when_the_controller_is_killed() {
    let mut place = Place::start();
    let (ca, jar) = (place.path("s/ca/ca.crt"), place.path("jar"));
    let asks = |args: &[&str]| place.room.ask("s", args);
    let made = asks(&["users", "create", "ann", "--role", "operator"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    asks(&["users", "password", "ann"]).one_sentence(2, &["nobody is here", "--stdin"]);
    place.room.file("short", "short\n");
    place.room.file("words", "correct horse battery\n");
    let sets = |file: &str| {
        let (socket, file) = (place.path("s.sock"), place.path(file));
        let line = format!("{ENFORCER} --api-socket {socket} users password ann --stdin < {file}");
        tell(with(place.room.command("sh"), &["-c", &line]))
    };
    sets("short").one_sentence(1, &["at least 15 characters"]);
    assert_eq!(sets("words").code, Some(0));
    let at = |path: &str| format!("https://10.9.0.1:4843/api/v1/{path}");
    let (session, machines) = (at("session"), at("machines"));
    let browser = ["--cacert", &ca, "-b", &jar, "-c", &jar];
    let browses = |args: &[&str]| place.curl(&[&browser[..], args].concat()).1;
    let body = |words: &str| format!(r#"{{"name": "ann", "password": "{words}"}}"#);
    assert_eq!(
        browses(&["-d", &body("correct horse batterx"), &session]),
        "401"
    );
    assert_eq!(browses(&[&machines]), "401");
    assert_eq!(
        browses(&["-d", &body("correct horse battery"), &session]),
        "201"
    );
    let kept = std::fs::read_to_string(&jar).unwrap();
    let fields: Vec<&str> = kept.lines().last().unwrap().split('\t').collect();
    assert_eq!(fields[0], "#HttpOnly_10.9.0.1", "{kept}");
    assert_eq!((fields[3], fields[5]), ("TRUE", "__Host-enforcer-session"));
    assert_eq!(browses(&[&machines]), "200");
    let evil = ["-X", "DELETE", "-H", "Origin: https://evil.lab", &session];
    assert_eq!(browses(&evil), "403");
    let listed = asks(&["sessions", "list"]);
    assert!(listed.stdout.contains("10.9.0.1"), "{listed:?}");
    let told = place
        .running
        .wait_for("did not come from a page of ours")
        .join("\n");
    assert!(
        !told.contains(fields[6]) && !told.contains("correct"),
        "{told}"
    );

    place.running.kill();
    let mut serve = place.room.serve("s", &["--config"]);
    serve.arg(place.room.path("enforcer.toml"));
    place.running = Running::start(serve);
    let browses = |args: &[&str]| place.curl(&[&browser[..], args].concat()).1;
    assert_eq!(browses(&[&machines]), "200");
    let own = [
        "-X",
        "DELETE",
        "-H",
        "Origin: https://10.9.0.1:4843",
        &session,
    ];
    assert_eq!(browses(&own), "204");
    assert_eq!(browses(&[&machines]), "401");
    let left = place.room.ask("s", &["sessions", "list", "-o", "json"]);
    assert_eq!(left.stdout.trim(), "[]", "{left:?}");
}

/// SHA-256 of a certificate's DER, as people copy it.
fn fingerprint(pem: &str) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body);
    let sum = sha2::Sha256::digest(der.unwrap());
    let digits = sum.iter().map(|byte| format!("{byte:02X}"));
    digits.collect::<Vec<_>>().join(":")
}
