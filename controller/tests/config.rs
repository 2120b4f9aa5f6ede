//! The configuration, from file and flags.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::PathBuf};

use enforcer::{
    config::{Config, DhcpRole, Flags},
    providers::ProviderAddress,
    state::policy::Discovery,
};

fn load(toml: &str, flags: Flags) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("enforcer.toml");
    fs::write(&path, toml).unwrap();
    Config::load(&Flags {
        config: Some(path),
        ..flags
    })
    .map_err(|e| e.to_string())
}

#[test]
fn the_documented_example_is_the_default() {
    let example = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/enforcer.toml");
    let read = Config::load(&Flags {
        config: Some(example),
        ..Flags::default()
    })
    .unwrap();
    assert_eq!(read, Config::default());
}

#[test]
fn all_mistakes_are_told_at_once_and_name_the_cure() {
    let told = load(
        r#"
        discovry = "all"
        http_port = "x"
        [dhcp]
        mode = "proxi"
        [[dhcp.subnet]]
        network = "10.0.0.0/24"
        pool = "10.1.0.5-10.1.0.9"
        lease = "soon"
        "#,
        Flags {
            rechain: Some("sometimes".into()),
            ..Flags::default()
        },
    )
    .unwrap_err();
    for part in [
        "7 mistakes",
        "discovry: there is no such setting; did you mean 'discovery'?",
        "http_port: invalid type",
        "dhcp.mode: 'proxi' is none of: proxy, server, off",
        "dhcp.subnet[0].lease: 'soon' is no duration",
        "--rechain (ENFORCER_RECHAIN): 'sometimes' is none of: never, always",
    ] {
        assert!(told.contains(part), "missing {part:?} in\n{told}");
    }
}

#[test]
fn providers_are_read_and_their_mistakes_told_together() {
    let good = r#"
        [[providers]]
        name = "lab"
        type = "serf"
        address = "10.0.0.5"
        auth_key_file = "/etc/enforcer/serf.key"
        [[providers]]
        name = "dc1"
        type = "consul"
        url = "https://consul.example.org:8501"
    "#;
    let read = load(good, Flags::default()).unwrap().providers;
    let expected = ProviderAddress::Serf {
        host: "10.0.0.5".to_owned(),
        port: 7373,
    };
    assert_eq!((read.len(), &read[0].at), (2, &expected));
    assert_eq!(
        read[0].secret_file.as_deref(),
        Some("/etc/enforcer/serf.key".as_ref())
    );
    let told = load(
        r#"
        [[providers]]
        name = "lab"
        type = "serf"
        url = "http://x"
        [[providers]]
        name = "lab"
        type = "consul"
        url = "ftp://x"
        auth_key_file = "k"
        [[providers]]
        type = "nomad"
        adress = "x"
        [[providers]]
        name = "lab"
        type = "serf"
        address = "a"
        [[providers]]
        name = "lab"
        type = "serf"
        address = "b"
        "#,
        Flags::default(),
    )
    .unwrap_err();
    for part in [
        "providers[0].url: a provider of type \"serf\" has no such setting",
        "providers[0].address: it is needed here",
        "providers[1].url: 'ftp://x' is no address of Consul",
        "providers[1].auth_key_file: a provider of type \"consul\" has no such setting",
        "providers[2].type: 'nomad' is none of: serf, consul",
        "providers[2].name: a provider needs a `name` and a `type`",
        "providers[2].adress: there is no such setting; did you mean 'address'?",
        "providers[4].name: another provider is called 'lab', too",
    ] {
        assert!(told.contains(part), "missing {part:?} in\n{told}");
    }
}

#[test]
fn discovery_is_a_word_or_a_table_with_the_config_that_it_starts() {
    let table = "[discovery]\nmachines = \"all\"\nboot = \"serf-agent\"\n";
    let read = load(table, Flags::default()).unwrap();
    assert_eq!(read.discovery, Discovery::All);
    let boot = read.discovery_boot.map(|name| name.to_string());
    assert_eq!(boot.as_deref(), Some("serf-agent"));
    for (toml, part) in [
        ("discovery = 7", "discovery: invalid type"),
        ("discovery = \"some\"", "discovery: 'some' is none of"),
        (
            "[discovery]\nmachine = \"all\"",
            "discovery.machine: there is no such setting; did you mean 'machines'?",
        ),
        (
            "[discovery]\nboot = \"a b\"",
            "discovery.boot: 'a b' cannot be a name",
        ),
        (
            "[discovery]\nmachines = \"off\"\nboot = \"a\"",
            "discovery.boot: nothing is discovered while discovery is off",
        ),
    ] {
        let told = load(toml, Flags::default()).unwrap_err();
        assert!(told.contains(part), "missing {part:?} in\n{told}");
    }
}

#[test]
fn what_only_holds_between_keys_is_checked() {
    let subnet = "[[dhcp.subnet]]\nnetwork = \"10.0.0.0/24\"\npool = \"10.0.0.5-10.0.0.9\"\n";
    for (toml, part) in [
        (
            "[dhcp]\nmode = \"server\"\n".to_owned(),
            "needs at least one [[dhcp.subnet]]",
        ),
        (subnet.to_owned(), "only served with dhcp.mode"),
        (
            format!("[dhcp]\nmode = \"server\"\n{subnet}{subnet}"),
            "overlaps",
        ),
        (
            format!(
                "[dhcp]\nmode = \"server\"\n{}",
                subnet.replace("10.0.0.9", "10.9.0.9")
            ),
            "outside",
        ),
        ("[management_os]\ncmdline = \"a || b\"\n".to_owned(), "'||'"),
    ] {
        let told = load(&toml, Flags::default()).unwrap_err();
        assert!(told.contains(part), "missing {part:?} in\n{told}");
    }
}

#[test]
fn a_flag_beats_the_file() {
    let flags = Flags {
        dhcp: Some("off".into()),
        http_port: Some(80),
        ..Flags::default()
    };
    let config = load("http_port = 8080\n[dhcp]\nmode = \"proxy\"\n", flags).unwrap();
    assert_eq!((config.http_port, config.dhcp), (80, DhcpRole::Off));
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_a_sentence() {
    let missing = Config::load(&Flags {
        config: Some("/nonexistent.toml".into()),
        ..Flags::default()
    });
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .contains("cannot read the config file /nonexistent.toml")
    );
    assert!(
        load("a = = b", Flags::default())
            .unwrap_err()
            .contains("is not TOML")
    );
}

#[test]
fn a_mail_server_is_read_with_its_usual_ports_and_needs_its_parts() {
    let mail = |toml: &str| load(&format!("[mail]\n{toml}"), Flags::default());
    let good = mail("server = \"m.example.org\"\nfrom = \"boot@example.org\"").unwrap();
    assert_eq!(good.mail.unwrap().port, 587);
    let tls = mail("server = \"m\"\nfrom = \"a@b\"\ntls = \"tls\"").unwrap();
    assert_eq!(tls.mail.unwrap().port, 465);
    for (toml, told) in [
        ("server = \"m\"", "mail needs both `server` and `from`"),
        ("server = \"m:x\"\nfrom = \"a@b\"", "'m:x' is no server"),
        ("server = \"m\"\nfrom = \"a\"", "'a' is no mail address"),
        (
            "server = \"m\"\nfrom = \"a@b\"\nuser = \"u\"",
            "need each other",
        ),
        (
            "server = \"m\"\nfrom = \"a@b\"\ntls = \"ssl\"",
            "'ssl' is none of",
        ),
        (
            "server = \"m\"\nfrom = \"a@b\"\nport = 25",
            "there is no such setting",
        ),
    ] {
        let mistakes = mail(toml).unwrap_err();
        assert!(mistakes.contains(told), "{told} in {mistakes}");
    }
}

#[test]
fn origins_are_written_as_browsers_write_them() {
    let good = "[http]\nweb_origins = [\"https://ops.example.org\", \"http://127.0.0.1:5173\"]\n";
    let read = load(good, Flags::default()).unwrap();
    assert_eq!(
        read.web_origins,
        ["https://ops.example.org", "http://127.0.0.1:5173"]
    );
    for wrong in [
        "*",
        "ops.example.org",
        "https://ops.example.org/",
        "https://OPS.example.org",
        "https://ops.example.org:443",
        "ftp://ops.example.org",
    ] {
        let toml = format!("[http]\nweb_origins = [\"{wrong}\"]\n");
        let told = load(&toml, Flags::default()).unwrap_err();
        let part = format!("http.web_origins: '{wrong}' is no origin");
        assert!(told.contains(&part), "{told}");
    }
}

#[cfg(not(feature = "web"))]
#[test]
fn a_program_without_the_app_says_so_before_it_starts() {
    let told = load("[http]\nweb = true\n", Flags::default()).unwrap_err();
    assert!(told.contains("http.web: this program was built without the web app"));
}

const PORT: &str = "[api]\nlisten = \"127.0.0.1:4843\"\ntls = \"off\"\n";

const PROVIDER: &str = r#"
[oidc]
issuer = "https://sso.example.org/realms/lab"
client_id = "enforcer"
public_url = "https://boot.example.org:4843"
create_users = false
[[oidc.roles]]
claim = "groups"
value = "boot-admins"
role = "admin"
"#;

#[test]
fn an_identity_provider_needs_its_addresses_a_port_and_rules() {
    let config = load(&format!("{PORT}{PROVIDER}"), Flags::default()).unwrap();
    let oidc = config.oidc.unwrap();
    assert_eq!(oidc.scopes, ["openid", "profile", "email"]);
    assert_eq!(oidc.name_claim, "preferred_username");
    assert!(oidc.passwords && !oidc.create_users && oidc.email_domains.is_empty());
    assert_eq!(
        oidc.redirect_uri(),
        "https://boot.example.org:4843/api/v1/oidc/callback"
    );
    let told = load(PROVIDER, Flags::default()).unwrap_err();
    assert!(
        told.contains("oidc.public_url: people sign in over the network"),
        "{told}"
    );
}

#[test]
fn each_mistake_about_an_identity_provider_is_told_with_its_place() {
    for (change, with, told) in [
        (
            "https://sso.example.org",
            "http://sso.example.org",
            "oidc.issuer: 'http://sso.example.org/realms/lab' is no provider's address",
        ),
        (
            "https://boot.example.org:4843",
            "http://boot.example.org:4843",
            "oidc.public_url: 'http://boot.example.org:4843' is not secure",
        ),
        (
            "https://boot.example.org:4843",
            "https://boot.example.org/",
            "oidc.public_url: 'https://boot.example.org/' is no origin",
        ),
        (
            "\"admin\"",
            "\"root\"",
            "oidc.roles[0].role: 'root' is none of: viewer, operator, admin",
        ),
        (
            "value = ",
            "valeu = ",
            "oidc.roles[0].valeu: there is no such setting; did you mean 'value'?",
        ),
        (
            "[[oidc.roles]]",
            "[oidc.other]",
            "oidc.roles: write who may what",
        ),
        (
            "create_users",
            "scopes = [\"email\"]\ncreate_users",
            "oidc.scopes: `openid` has to be among them",
        ),
        (
            "create_users",
            "email_domains = [\"@x\"]\ncreate_users",
            "oidc.email_domains: '@x' is no domain",
        ),
        (
            "client_id",
            "client",
            "an identity provider needs `issuer`, `client_id` and `public_url`",
        ),
    ] {
        let bad = PROVIDER.replacen(change, with, 1);
        let error = load(&format!("{PORT}{bad}"), Flags::default()).unwrap_err();
        assert!(error.contains(told), "{with}: {error}");
    }
}
