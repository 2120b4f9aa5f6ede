//! What goes into a support bundle, and what never does.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use mesh_proto::message::Secret;
use serde_json::Value;

use super::*;
use crate::state::{
    event::Draft,
    ops::{CreateToken, Invite, RotateRing},
    trust::{Digest, token::TokenId},
};

/// Every word that stands for a secret begins so, and nothing else does.
const PLANTED: &str = "planted-";

/// A controller with a secret of each kind, and the settings it would be served with.
struct Planted {
    c: Controller,
    config: String,
    /// What must not leave.
    secrets: Vec<String>,
}

impl Planted {
    async fn new() -> Self {
        let c = Controller::start();
        let state = c.site.state().display().to_string();
        let text = format!(
            "state = {state:?}\ninterfaces = [\"lo\"]\nsite = \"lab\"\n[management_os]\ncmdline = \"rescue={PLANTED}cmdline\"\n[dhcp]\nmode = \"off\"\n"
        );
        let config = c.write("enforcer.toml", &text);
        let mut planted = Self {
            c,
            config,
            secrets: vec![PLANTED.to_owned()],
        };
        planted.by_people().await;
        planted.by_the_program().await;
        planted.on_disk();
        planted
    }

    /// What people type in.
    async fn by_people(&mut self) {
        let word = |name: &str| format!("{PLANTED}{name}");
        let file = |name: &str| self.c.write(name, &word(name));
        let (kernel, board, data) = (file("kernel"), file("board"), file("user-data"));
        let answer = format!("preseed.cfg={}", file("preseed"));
        let (cmdline, label) = (word("root-password"), format!("pool={}", word("label")));
        let (url, disk) = (
            format!("http://127.0.0.1:9/{}", word("hook")),
            self.c.write("disk", &"d".repeat(1 << 20)),
        );
        for line in [
            "machines register 52:54:00:77:00:01 --name web1".to_owned(),
            format!("machines set web1 --power ipmi://admin@10.0.0.9 --power-secret-file {board}"),
            format!("machines set web1 --label {label}"),
            format!(
                "boot-configs set live --kernel {kernel} --cmdline {cmdline} --answer {answer}"
            ),
            "boot-configs activate live web1".to_owned(),
            "users create ann --role viewer --note planted-note".to_owned(),
            format!("images push {disk} debian --note planted-version"),
            format!("deploy web1 debian --user-data {data}"),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let told = self.c.run(&words).await;
            told.unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        let hook = self
            .c
            .run(&["webhooks", "create", "ci", "--url", &url])
            .await;
        self.secrets.push(hook.unwrap().trim().to_owned());
        let token = self
            .c
            .run(&["tokens", "create", "ci", "-o", "json"])
            .await
            .unwrap();
        let token: Value = serde_json::from_str(&token).unwrap();
        let text = token["token"].as_str().unwrap();
        // What follows its public beginning.
        self.secrets
            .push(text.rsplit('_').next().unwrap().to_owned());
        let kept = self.c.site.api.store.view();
        self.secrets
            .extend(kept.api_tokens().map(|t| t.secret_sha256.to_string()));
        self.secrets
            .extend(kept.activations().map(|a| a.nonce.to_string()));
    }

    /// What the program makes, and what it is told by others.
    async fn by_the_program(&mut self) {
        let store = &self.c.site.api.store;
        let secret_sha256 = Digest::of(b"a join token's");
        let by = "local:root".to_owned();
        let join = CreateToken {
            id: TokenId::from_random(7),
            secret_sha256,
            machine: None,
            lives: None,
            by: by.clone(),
        };
        store.apply(join).await.unwrap().unwrap();
        self.secrets.push(secret_sha256.to_string());
        let secret_sha256 = Digest::of(b"an invitation's");
        let invite = Invite {
            id: TokenId::from_random(8),
            secret_sha256,
            by,
        };
        store.apply(invite).await.unwrap().unwrap();
        self.secrets.push(secret_sha256.to_string());
        let key = Secret::new(format!("{PLANTED}gossip"));
        store
            .apply(RotateRing {
                key,
                reason: "planted-reason".to_owned(),
            })
            .await
            .unwrap();
        let said = Draft::new("deployment.failed", "planted-agent's last words");
        store.note(said.field("output", "planted-output"));
        store.flush().await.unwrap();
    }

    /// What lies in the state folder.
    fn on_disk(&self) {
        let state = self.c.site.state();
        for (path, text) in [
            ("ca/ca.key", "planted-private-key"),
            ("logs/0000000000000001/aa.log", "planted-line"),
            ("assets/files/seed", "planted-file"),
        ] {
            let path = state.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    /// Makes a bundle; its files by name, and all of it unpacked.
    async fn bundle(&self, name: &str) -> (BTreeMap<String, Value>, Vec<u8>) {
        let path = self.c.folder.path().join(name);
        let line = [
            "support-bundle",
            &path.display().to_string(),
            "--config",
            &self.config,
        ];
        let told = self.c.run(&line).await.unwrap();
        assert_eq!(told, format!("{}\n", path.display()));
        unpacked(&path)
    }
}

fn unpacked(path: &Path) -> (BTreeMap<String, Value>, Vec<u8>) {
    let bytes = zstd::decode_all(fs::File::open(path).unwrap()).unwrap();
    let mut reader = crate::archive::Reader::new(&bytes[..]);
    let mut files = BTreeMap::new();
    while let Some(entry) = reader.next().unwrap() {
        let mut text = Vec::new();
        reader
            .bytes(&entry, &mut |piece| {
                std::io::Write::write_all(&mut text, piece)
            })
            .unwrap();
        let value = serde_json::from_slice(&text);
        let text = String::from_utf8(text).unwrap();
        files.insert(entry.name, value.unwrap_or(Value::String(text)));
    }
    (files, bytes)
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes
        .windows(secret.len())
        .any(|window| window == secret.as_bytes())
}

/// Everything that a bundle of whole files would hold.
fn everything(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        match path.is_dir() {
            true => all.extend(everything(&path)),
            false => all.extend(fs::read(&path).unwrap_or_default()),
        }
    }
    all
}

#[tokio::test]
async fn no_secret_of_any_kind_is_in_a_bundle() {
    let planted = Planted::new().await;
    let (files, bytes) = planted.bundle("help.tar.zst").await;
    let whole = [
        everything(planted.c.site.state()),
        fs::read(&planted.config).unwrap(),
    ]
    .concat();
    for secret in &planted.secrets {
        assert!(!holds(&bytes, secret), "{secret} left the house");
    }
    // Each kind is there to be found where files are taken as they are: a program's token as its sum alone.
    for word in [
        "cmdline",
        "board",
        "label",
        "root-password",
        "preseed",
        "note",
        "user-data",
        "hook",
        "gossip",
        "output",
    ] {
        assert!(
            holds(&whole, &format!("{PLANTED}{word}")),
            "{word} was not planted"
        );
    }
    let kept = planted
        .secrets
        .iter()
        .filter(|secret| holds(&whole, secret))
        .count();
    assert_eq!(kept, planted.secrets.len() - 1);
    // And what helps is there.
    let rows = |name: &str| files[name]["rows"].as_array().unwrap();
    assert_eq!(rows("machines.json")[0]["name"], "web1");
    assert_eq!(rows("activations.json")[0]["stage"], "armed");
    assert_eq!(rows("deployments.json")[0]["title"], "debian@1");
    assert!(
        rows("events.json")
            .iter()
            .any(|e| e["kind"] == "deployment.failed" && e.get("text").is_none())
    );
    assert!(
        files["metrics.txt"]
            .as_str()
            .unwrap()
            .contains("enforcer_machines{standing=\"registered\"} 1")
    );
    let settings = files["config.json"]["settings"].as_array().unwrap();
    assert!(
        settings
            .iter()
            .any(|s| s["key"] == "site" && s["value"] == "\"lab\""),
        "{settings:?}"
    );
    assert!(
        files["doctor.json"]
            .as_array()
            .unwrap()
            .iter()
            .any(|f| f["code"] == "controller")
    );
    assert_eq!(files["state.json"]["database"], "in-use");
    // A host that is not run by systemd has no journal.
    let missing = files["about.json"]["missing"].as_array().unwrap();
    let log = |part: &Value| part["name"] == "controller-log.json";
    assert!(missing.iter().all(log), "{missing:?}");
    assert_eq!(
        missing.is_empty(),
        files.contains_key("controller-log.json")
    );
}

#[tokio::test]
async fn without_a_controller_the_host_and_the_disk_are_told() {
    let planted = Planted::new().await;
    fs::remove_file(planted.c.folder.path().join("api.sock")).unwrap();
    let (files, bytes) = planted.bundle("help.tar.zst").await;
    assert!(planted.secrets.iter().all(|secret| !holds(&bytes, secret)));
    let paths = files["state.json"]["files"].as_array().unwrap();
    assert!(paths.iter().any(|f| f["path"] == "ca/ca.key"), "{paths:?}");
    let missing = files["about.json"]["missing"].as_array().unwrap();
    assert!(
        missing.iter().any(|m| m["name"] == "machines.json"),
        "{missing:?}"
    );
    assert!(
        files["doctor.json"]
            .as_array()
            .unwrap()
            .iter()
            .any(|f| f["code"] == "controller-away")
    );
    assert!(files["host.json"]["kernel"].is_string());
    // It is never written over another, and only its owner reads it.
    let path = planted.c.folder.path().join("help.tar.zst");
    let again = [
        "support-bundle",
        &path.display().to_string(),
        "--config",
        &planted.config,
    ];
    assert!(planted.c.run(&again).await.is_err());
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn what_is_wrong_with_the_settings_is_said_without_their_words_and_logs_are_named_plainly() {
    let planted = Planted::new().await;
    let broken = planted.c.write("broken.toml", "site = \"planted-site!\"\n");
    let path = planted.c.folder.path().join("broken.tar.zst");
    let file = path.display().to_string();
    let line = [
        "support-bundle",
        &file,
        "--config",
        &broken,
        "--logs",
        "../we b1",
    ];
    planted.c.run(&line).await.unwrap();
    let (files, bytes) = unpacked(&path);
    assert!(!holds(&bytes, PLANTED), "{files:?}");
    let found = files["doctor.json"].as_array().unwrap();
    assert!(
        found.iter().any(|f| f["code"] == "config-invalid"),
        "{found:?}"
    );
    let missing = files["about.json"]["missing"].as_array().unwrap();
    assert!(
        missing.iter().any(|m| m["name"] == "log-web1.json"),
        "{missing:?}"
    );
}

#[tokio::test]
async fn names_are_completed_of_the_controller_that_the_line_names() {
    let (here, there) = (Controller::start(), Controller::start());
    let register = ["machines", "register", "52:54:00:77:00:02", "--name", "far"];
    there.run(&register).await.unwrap();
    let socket = there.folder.path().join("api.sock");
    let line = format!("enforcer --api-socket {} machines show ", socket.display());
    let told = here.run(&["complete", "--line", &line]).await.unwrap();
    assert_eq!(told, "far\tregistered\n");
    let told = here
        .run(&["complete", "--line", "enforcer machines show "])
        .await
        .unwrap();
    assert_eq!(told, "");
}

#[tokio::test]
async fn a_list_says_what_would_be_written_and_writes_nothing() {
    let planted = Planted::new().await;
    let line = ["support-bundle", "--list", "--config", &planted.config];
    let told = planted.c.run(&line).await.unwrap();
    for part in [
        "about.json",
        "config.json",
        "doctor.json",
        "events.json",
        "host.json",
        "machines.json",
        "state.json",
    ] {
        assert!(told.lines().any(|line| line.starts_with(part)), "{told}");
    }
    let broken = planted.c.write("broken.toml", "site = \"planted-site!\"\n");
    let line = [
        "support-bundle",
        "--list",
        "--config",
        &broken,
        "-o",
        "json",
    ];
    let told = planted.c.run(&line).await.unwrap();
    assert!(
        told.contains("config.json") && !told.contains(PLANTED),
        "{told}"
    );
}
