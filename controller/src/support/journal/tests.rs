//! What of a journal may be told, and that the sources keep to the form that is told.

use std::{
    fs::{self, File},
    path::Path,
    sync::Arc,
};

use serde_json::json;
use tracing_subscriber::{fmt, prelude::*};

use super::*;

const TIME: &str = "2026-01-02T03:04:05.000006Z";

/// What is told of a line of the program's.
fn told(message: &str) -> Value {
    let entry =
        json!({"__REALTIME_TIMESTAMP": "1767323045000006", "_PID": "77", "MESSAGE": message});
    let lines = lines(entry.to_string().as_bytes());
    assert_eq!(lines.len(), 1, "{message}");
    serde_json::to_value(&lines[0]).unwrap()
}

fn told_at(rest: &str) -> Value {
    told(&format!("{TIME}  WARN enforcer::fetch: {rest}"))
}

#[test]
fn a_line_is_told_by_its_sentence_and_values_up_to_the_first_that_is_not_ours() {
    let whole = told(&format!(
        "{TIME}  INFO enforcer::mesh::enrol: a key was enrolled machine=web1 from=10.0.0.9:4848"
    ));
    let expected = json!({"at": "2026-01-02T03:04:05.000006Z", "pid": 77, "by": "enforcer", "level": "INFO", "part": "enforcer::mesh::enrol",
        "text": "a key was enrolled", "values": {"machine": "web1", "from": "10.0.0.9:4848"}, "cut": false});
    assert_eq!(whole, expected);
    let cut = told_at("it failed config=debian url=http://a/s3cret machine=s3cret (os error 111)");
    assert_eq!(
        (&cut["text"], &cut["values"]),
        (&json!("it failed"), &json!({"config": "debian"}))
    );
    assert_eq!((&cut["os_error"], &cut["cut"]), (&json!(111), &json!(true)));
}

#[test]
fn nothing_that_others_wrote_is_told_wherever_it_stands() {
    for rest in [
        "it failed: s3cret",
        "it failed: machine=s3cret",
        "it failed: a s3cret machine=s3cret",
        "it failed reason=s3cret machine=s3cret",
        "it failed machine=\"a s3cret\"",
        "it failed machine=s3cret/key",
        "it failed s3cret=1",
        "it failed machine=web1 s3cret",
        &format!("it failed machine=s3cret{}", "x".repeat(VALUE)),
    ] {
        let told = told_at(rest);
        assert!(!told.to_string().contains("s3cret"), "{rest}: {told}");
        assert_eq!(
            (&told["text"], &told["cut"]),
            (&json!("it failed"), &json!(true)),
            "{rest}"
        );
    }
    for line in [
        "s3cret",
        "{\"s3cret\": 1}",
        &format!("{TIME}  LOUD enforcer: s3cret"),
        &format!("{TIME}  WARN of s3cret: s3cret"),
        "later  WARN enforcer: s3cret",
        "thread 's3cret' panicked at s3cret",
        "thread 'a' panicked at a s3cret.rs:1:2:",
    ] {
        let told = told(line);
        assert!(!told.to_string().contains("s3cret"), "{line}: {told}");
        assert_eq!(told["by"], "other", "{line}");
    }
    let library = told(&format!(
        "{TIME} ERROR quinn::endpoint: s3cret machine=s3cret"
    ));
    assert!(!library.to_string().contains("s3cret"), "{library}");
    assert_eq!(
        (&library["part"], library.get("text")),
        (&json!("quinn::endpoint"), None)
    );
}

#[test]
fn of_a_panic_its_place_is_told_and_of_systemd_its_closed_words() {
    let panicked = told("thread 's3cret' panicked at controller/src/serve.rs:7:9:");
    assert_eq!(
        (&panicked["by"], &panicked["place"]),
        (&json!("panic"), &json!("controller/src/serve.rs:7:9"))
    );
    assert!(!panicked.to_string().contains("s3cret"));
    let entry = json!({"__REALTIME_TIMESTAMP": "1767323045000006", "_PID": "1", "MESSAGE": "enforcer.service: s3cret",
        "CODE_FUNC": "unit_log_process_exit", "EXIT_CODE": "killed", "EXIT_STATUS": "9", "UNIT_RESULT": "a s3cret"});
    let told = serde_json::to_value(lines(entry.to_string().as_bytes())).unwrap();
    let words = json!({"function": "unit_log_process_exit", "exit": "killed", "status": "9"});
    assert_eq!(
        (&told[0]["by"], &told[0]["words"]),
        (&json!("systemd"), &words)
    );
}

#[test]
fn the_newest_line_is_the_last_and_a_cut_one_is_left_out() {
    let entry = |n: u32| {
        json!({"__REALTIME_TIMESTAMP": format!("{n}000000"), "MESSAGE": [1, 2]}).to_string()
    };
    let journal = format!("{}\n{}\n{}", entry(9), entry(8), &entry(7)[..20]);
    let at: Vec<_> = lines(journal.as_bytes())
        .iter()
        .map(|line| line.at.as_second())
        .collect();
    assert_eq!(at, [8, 9]);
}

#[test]
fn the_programs_log_is_written_in_the_form_that_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let file = Arc::new(File::create(&path).unwrap());
    // As `serve::run` writes it where no person looks on.
    let lines = fmt::layer().with_writer(file).with_ansi(false);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
        tracing::warn!(target: "enforcer::here", machine = "web1", reason = "s3cret", "it failed: {}", 1);
        tracing::info!(target: "enforcer::here", machine = %"web1", id = 7, "it went well");
    });
    let log = fs::read_to_string(path).unwrap();
    let [failed, well] = log
        .lines()
        .map(told)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    assert_eq!(
        (&failed["level"], &failed["text"]),
        (&json!("WARN"), &json!("it failed"))
    );
    assert_eq!(
        (&well["text"], &well["values"]),
        (
            &json!("it went well"),
            &json!({"machine": "web1", "id": "7"})
        )
    );
}

/// The messages of a source's log lines: of each call the first text that is no value.
fn messages(source: &str) -> Vec<String> {
    let calls = ["info!(", "warn!(", "error!(", "debug!(", "trace!("];
    let calls = calls.iter().flat_map(|call| source.match_indices(call));
    let whole =
        calls.filter(|(at, _)| !source[..*at].ends_with(|c: char| c == '_' || c.is_alphanumeric()));
    whole
        .filter_map(|(at, call)| first_text(&source[at + call.len()..]))
        .collect()
}

fn first_text(call: &str) -> Option<String> {
    let (mut before, mut rest, mut depth) = ('(', call.chars(), 1);
    loop {
        match rest.next()? {
            '"' => {
                let mut text = String::new();
                loop {
                    match rest.next()? {
                        '"' => break,
                        '\\' => drop(rest.next()),
                        c => text.push(c),
                    }
                }
                if depth == 1 && "(,".contains(before) {
                    return Some(text);
                }
                before = '"';
            }
            c => {
                depth += i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
                if depth == 0 {
                    return None;
                }
                if !c.is_whitespace() {
                    before = c;
                }
            }
        }
    }
}

fn sources(folder: &Path, all: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|end| end == "rs")
            && !path.ends_with("journal/tests.rs")
        {
            all.push(fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn what_is_put_into_a_line_of_the_log_stands_behind_a_colon_or_is_a_value() {
    let mut all = Vec::new();
    for folder in [
        "src",
        "../ipxe/net/src",
        "../mesh-proto/net/src",
        "../image/store/src",
    ] {
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
            &mut all,
        );
    }
    let messages: Vec<_> = all.iter().flat_map(|source| messages(source)).collect();
    let head = |message: &String| message.split(": ").next().unwrap_or_default().contains('{');
    let wrong: Vec<_> = messages.iter().filter(|message| head(message)).collect();
    assert!(messages.len() > 100, "{messages:#?}");
    assert!(
        wrong.is_empty(),
        "the support bundle tells a line's sentence up to its colon; make these values, or put them behind one: {wrong:#?}"
    );
}
