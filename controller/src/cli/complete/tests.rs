//! What is offered where.

use super::*;
use crate::cli::{Aim, Client, Person, Session, Timestamp};

/// The values that are offered behind these words, names of the controller as their list.
fn offered(line: &str) -> Vec<String> {
    let mut program = Arguments::command();
    program.build();
    let words = resolve(line::words(&format!("enforcer {line}")), &program);
    let place = Place::of(&program, &words[1..]);
    let offers = match place.wanted() {
        Wanted::These(offers) => offers.into_iter().map(|o| o.value).collect(),
        Wanted::Live(live::Source::List { path, key }) => vec![format!("{path} {key}")],
        Wanted::Live(live::Source::Contexts) => vec!["contexts".to_owned()],
        Wanted::Nothing => Vec::new(),
    };
    let fits = |value: &String| value.starts_with('/') || value.starts_with(place.typed());
    let before = place.before();
    let whole = |value: String| format!("{before}{value}");
    offers.into_iter().filter(fits).map(whole).collect()
}

#[test]
fn words_are_offered_where_the_program_takes_them() {
    for (line, expected) in [
        ("mach", &["machines"][..]),
        ("machines del", &["delete"]),
        ("machines list --st", &["--state"]),
        (
            "machines list --state ",
            &["seen", "registered", "accepted"],
        ),
        ("machines list --state=se", &["--state=seen"]),
        ("machines list -o j", &["json"]),
        ("machines list -oj", &[]),
        ("get mach", &["machines"]),
        ("get machines --st", &["--state"]),
        // It has no list, and behind a word that is none no command is one.
        ("get doct", &[]),
        ("nonsense machines sho", &[]),
        ("machines list -- --st", &[]),
        ("context us", &["use"]),
        ("machines list --state seen --state", &[]),
        ("machines list --label a=b --label", &["--label"]),
        ("complet", &["completions"]),
        ("completions z", &["zsh"]),
        ("--context lab machines sho", &["show"]),
        ("--context=lab machines sho", &["show"]),
        ("firmware add x --for ", &["bios"]),
    ] {
        let found = offered(line);
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        match line {
            "firmware add x --for " => assert!(found.contains(&expected[0]), "{found:?}"),
            _ => assert_eq!(found, expected, "{line}"),
        }
    }
}

#[test]
fn names_are_asked_for_where_one_stands() {
    let machines = "/machines?limit=1000 name";
    for (line, expected) in [
        ("machines show ", machines),
        ("machines show we", "/machines?limit=1000&q=we name"),
        ("machines show -- ", machines),
        ("machines reboot web1 -w ", machines),
        ("explain ", machines),
        ("get machines ", machines),
        ("describe machine ", machines),
        ("deploy ", machines),
        ("deploy web1 ", "/images?limit=1000 name"),
        ("boot-configs activate ", "/boot-configs?limit=1000 name"),
        ("boot-configs activate debian ", machines),
        ("boot-configs activate debian web1 ", machines),
        ("events --machine ", machines),
        ("deployments show ", "/deployments?open=true id"),
        ("peers revoke ", "/peers?limit=1000 site"),
        ("--context ", "contexts"),
        ("contexts use ", "contexts"),
    ] {
        assert_eq!(offered(line), [expected], "{line}");
    }
    for new in [
        "webhooks create ",
        "users create ",
        "machines register ",
        "restore ",
        "nonsense ",
    ] {
        assert!(offered(new).is_empty(), "{new}: {:?}", offered(new));
    }
}

/// What a shell is told by a controller on this socket.
async fn told(socket: std::path::PathBuf, args: Complete) -> String {
    let mut out = Vec::new();
    let mut session = Session {
        client: Client::new(socket),
        out: &mut out,
        now: Timestamp::now(),
        person: Person::nobody(),
    };
    complete(args, &mut session).await.unwrap();
    String::from_utf8(out).unwrap()
}

fn typed(line: &str) -> Complete {
    Complete {
        line: Some(format!("enforcer {line}")),
        breaks: " :=".to_owned(),
        words: Vec::new(),
    }
}

#[tokio::test]
async fn a_controller_that_is_away_or_silent_costs_no_time_and_no_words() {
    let folder = tempfile::tempdir().unwrap();
    let away = folder.path().join("none.sock");
    assert_eq!(told(away.clone(), typed("machines show ")).await, "");
    assert_eq!(
        told(away, typed("machines sho")).await,
        "show\tShow a machine\n"
    );
    // It takes the connection and says nothing.
    let silent = folder.path().join("silent.sock");
    let _listener = tokio::net::UnixListener::bind(&silent).unwrap();
    let began = std::time::Instant::now();
    assert_eq!(told(silent, typed("machines show ")).await, "");
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn the_controller_that_is_meant_is_asked() {
    let mut program = Arguments::command();
    program.build();
    let words = line::words("--context lab machines show --api-socket=/s ");
    let place = Place::of(&program, &words);
    let Aim {
        context,
        api_socket,
    } = place.aim().clone();
    assert_eq!(context.as_deref(), Some("lab"));
    assert_eq!(api_socket, Some("/s".into()));
}

#[test]
fn bash_is_given_what_follows_its_cut() {
    let breaks = " :=";
    assert_eq!(line::cut("--state=se", breaks), "--state=".len());
}
