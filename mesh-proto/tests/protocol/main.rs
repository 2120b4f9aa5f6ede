//! `docs/PROTOCOL.md` against the types: every sample in it is a message as we write it, and there is one of each kind,
//! of each proof, command, answer to a swap and end of a job.

mod helpers;
mod vectors;

use std::{collections::BTreeSet, fmt::Debug, fs};

use mesh_proto::message::{
    MessageError, RefusalCode,
    command::Command,
    decode, encode,
    enrol::{FromEnroller, Proof, ToEnroller},
    job::Outcome,
    link::{AgentReply, ControllerReply, FromAgent, SwapAnswer, ToAgent, Want},
    peer::{FromInviter, PeerAsk, PeerReply, ToInviter},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// The fenced blocks of one family: what stands behind "```json".
fn samples(family: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PROTOCOL.md");
    let text = fs::read_to_string(path).expect("the document");
    let open = format!("```json {family}\n");
    let blocks = text
        .split(&open)
        .skip(1)
        .map(|rest| rest.split("```").next().expect("text"));
    blocks
        .map(|block| serde_json::from_str(block).expect(block))
        .collect()
}

/// Puts a field of a later release into every object.
fn of_a_later_release(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(of_a_later_release);
            fields.insert("of a later release".into(), json!({"x": [1]}));
        }
        Value::Array(items) => items.iter_mut().for_each(of_a_later_release),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Leaves out every field that is null.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `kinds` names all variants: its `match` has no `_`, so a new one has to be added there, and then here is no sample.
fn check<T>(family: &str, all: &[&str], kind: impl Fn(&T) -> &'static str)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let mut seen = BTreeSet::new();
    for sample in samples(family) {
        let bytes = sample.to_string().into_bytes();
        let message: T = decode(&bytes).expect("a sample is a message");
        seen.insert(kind(&message));
        let again: Value = serde_json::from_slice(&encode(&message).expect("JSON")).expect("JSON");
        assert_eq!(again, sample, "written as it was read");

        let mut later = sample.clone();
        of_a_later_release(&mut later);
        let read: T = decode(later.to_string().as_bytes()).expect("unknown fields are ignored");
        assert_eq!(read, message);

        let mut short = sample.clone();
        without_nulls(&mut short);
        let read: T = decode(short.to_string().as_bytes()).expect("nulls may be left out");
        assert_eq!(read, message);

        let mut major = sample;
        major["v"] = 2.into();
        let refused = decode::<T>(major.to_string().as_bytes());
        assert!(
            matches!(refused, Err(MessageError::Version(2))),
            "{refused:?}"
        );
        major["v"] = 1.into();
        major["kind"] = "of-a-later-release".into();
        let refused = decode::<T>(major.to_string().as_bytes());
        assert!(
            matches!(refused, Err(MessageError::Malformed(_))),
            "{refused:?}"
        );
    }
    assert_eq!(
        seen,
        all.iter().copied().collect(),
        "one sample of each kind"
    );
}

#[test]
fn enrolment_is_as_documented() {
    check::<ToEnroller>(
        "to-enroller",
        &["enrol", "reveal"],
        |message| match message {
            ToEnroller::Enrol(_) => "enrol",
            ToEnroller::Reveal { .. } => "reveal",
        },
    );
    let all = ["challenge", "issued", "pending", "refused"];
    check::<FromEnroller>("from-enroller", &all, |message| match message {
        FromEnroller::Challenge { .. } => "challenge",
        FromEnroller::Issued(_) => "issued",
        FromEnroller::Pending { .. } => "pending",
        FromEnroller::Refused(_) => "refused",
    });
}

#[test]
fn what_agents_ask_is_as_documented() {
    let all = [
        "hello",
        "facts",
        "swap",
        "renew",
        "report",
        "log",
        "status",
        "job",
        "job-progress",
        "job-end",
        "fetch",
        "have",
        "put",
        "save",
        "boot",
        "boot-file",
        "helper",
        "bye",
    ];
    check::<FromAgent>("from-agent", &all, |message| match message {
        FromAgent::Hello(_) => "hello",
        FromAgent::Facts(_) => "facts",
        FromAgent::Swap(_) => "swap",
        FromAgent::Renew { .. } => "renew",
        FromAgent::Report(_) => "report",
        FromAgent::Log(_) => "log",
        FromAgent::Status(_) => "status",
        FromAgent::Job => "job",
        FromAgent::JobProgress(_) => "job-progress",
        FromAgent::JobEnd(_) => "job-end",
        FromAgent::Fetch(_) => "fetch",
        FromAgent::Have { .. } => "have",
        FromAgent::Put { .. } => "put",
        FromAgent::Save { .. } => "save",
        FromAgent::Boot { .. } => "boot",
        FromAgent::BootFile { .. } => "boot-file",
        FromAgent::Helper(_) => "helper",
        FromAgent::Bye { .. } => "bye",
    });
    let all = [
        "welcome", "ok", "swap", "renewed", "job", "follows", "missing", "saved", "boot", "refused",
    ];
    check::<ControllerReply>("controller-reply", &all, |message| match message {
        ControllerReply::Welcome(_) => "welcome",
        ControllerReply::Ok => "ok",
        ControllerReply::Swap(_) => "swap",
        ControllerReply::Renewed { .. } => "renewed",
        ControllerReply::Job { .. } => "job",
        ControllerReply::Follows { .. } => "follows",
        ControllerReply::Missing { .. } => "missing",
        ControllerReply::Saved { .. } => "saved",
        ControllerReply::Boot { .. } => "boot",
        ControllerReply::Refused(_) => "refused",
    });
}

#[test]
fn what_controllers_ask_is_as_documented() {
    check::<ToAgent>(
        "to-agent",
        &["command", "facts", "verdicts", "ring", "jobs", "helper"],
        |message| match message {
            ToAgent::Command(_) => "command",
            ToAgent::Facts => "facts",
            ToAgent::Verdicts { .. } => "verdicts",
            ToAgent::Ring(_) => "ring",
            ToAgent::Jobs => "jobs",
            ToAgent::Helper { .. } => "helper",
        },
    );
    let all = ["progress", "done", "facts", "ok", "refused"];
    check::<AgentReply>("agent-reply", &all, |message| match message {
        AgentReply::Progress { .. } => "progress",
        AgentReply::Done { .. } => "done",
        AgentReply::Facts(_) => "facts",
        AgentReply::Ok => "ok",
        AgentReply::Refused(_) => "refused",
    });
}

#[test]
fn what_sites_say_to_each_other_is_as_documented() {
    let all = [
        "peek", "claim", "evidence", "macs", "file", "machines", "events", "image", "manifest",
        "chunks",
    ];
    check::<PeerAsk>("peer-ask", &all, |message| match message {
        PeerAsk::Peek(_) => "peek",
        PeerAsk::Claim(_) => "claim",
        PeerAsk::Evidence(_) => "evidence",
        PeerAsk::Macs { .. } => "macs",
        PeerAsk::File { .. } => "file",
        PeerAsk::Machines { .. } => "machines",
        PeerAsk::Events { .. } => "events",
        PeerAsk::Image { .. } => "image",
        PeerAsk::Manifest { .. } => "manifest",
        PeerAsk::Chunks { .. } => "chunks",
    });
    let all = [
        "offer", "nothing", "grant", "noted", "follows", "refused", "machines", "events", "image",
    ];
    check::<PeerReply>("peer-reply", &all, |message| match message {
        PeerReply::Offer { .. } => "offer",
        PeerReply::Nothing { .. } => "nothing",
        PeerReply::Grant(_) => "grant",
        PeerReply::Noted => "noted",
        PeerReply::Follows { .. } => "follows",
        PeerReply::Machines { .. } => "machines",
        PeerReply::Events { .. } => "events",
        PeerReply::Image(_) => "image",
        PeerReply::Refused(_) => "refused",
    });
    check::<ToInviter>("to-inviter", &["join"], |message| match message {
        ToInviter::Join { .. } => "join",
    });
    check::<FromInviter>("from-inviter", &["joined", "refused"], |m| match m {
        FromInviter::Joined { .. } => "joined",
        FromInviter::Refused(_) => "refused",
    });
}

/// Samples that are part of a message.
fn parts<T: Serialize + DeserializeOwned>(family: &str) -> Vec<T> {
    let parts = samples(family).into_iter().map(|sample| {
        let part: T = serde_json::from_value(sample.clone()).expect("a sample is a value");
        let again = serde_json::to_value(&part).expect("JSON");
        assert_eq!(again, sample, "written as it was read");
        part
    });
    parts.collect()
}

fn messages<T: DeserializeOwned>(family: &str) -> Vec<T> {
    let messages = samples(family).into_iter();
    messages
        .map(|sample| decode(sample.to_string().as_bytes()).expect("a sample is a message"))
        .collect()
}

fn all_of<T>(seen: impl IntoIterator<Item = T>, word: impl Fn(&T) -> &'static str, all: &[&str]) {
    let seen: BTreeSet<_> = seen.into_iter().map(|one| word(&one)).collect();
    assert_eq!(seen, all.iter().copied().collect());
}

#[test]
fn every_proof_and_every_command_is_documented() {
    let enrolled = messages("to-enroller").into_iter().filter_map(|m| match m {
        ToEnroller::Enrol(enrol) => Some(enrol.proof),
        ToEnroller::Reveal { .. } => None,
    });
    let word = |proof: &Proof| match proof {
        Proof::Boot { .. } => "boot",
        Proof::Token { .. } => "token",
        Proof::None => "none",
    };
    let all = ["boot", "token", "none"];
    all_of(enrolled.chain(parts("proof")), word, &all);

    let ordered = messages("to-agent").into_iter().filter_map(|m| match m {
        ToAgent::Command(order) => Some(order.command),
        _ => None,
    });
    let all = [
        "reboot",
        "identify",
        "inventory",
        "wake",
        "stop",
        "rotate-keys",
    ];
    all_of(ordered.chain(parts("command")), Command::name, &all);
}

#[test]
fn every_answer_to_a_swap_every_fetch_and_every_end_of_a_job_is_documented() {
    let answers = messages("controller-reply")
        .into_iter()
        .filter_map(|m| match m {
            ControllerReply::Swap(answer) => Some(answer),
            _ => None,
        });
    let word = |answer: &SwapAnswer| match answer {
        SwapAnswer::Same => "same",
        SwapAnswer::Later { .. } => "later",
        SwapAnswer::Differs { .. } => "differs",
    };
    all_of(answers, word, &["same", "later", "differs"]);

    let wants = messages("from-agent").into_iter().filter_map(|m| match m {
        FromAgent::Fetch(fetch) => Some(fetch.want),
        _ => None,
    });
    let word = |want: &Want| match want {
        Want::Manifest => "manifest",
        Want::Chunks { .. } => "chunks",
    };
    all_of(wants, word, &["manifest", "chunks"]);

    let ends = messages("from-agent").into_iter().filter_map(|m| match m {
        FromAgent::JobEnd(end) => Some(end.outcome),
        _ => None,
    });
    let word = |end: &Outcome| match end {
        Outcome::Written { .. } => "written",
        Outcome::Failed { .. } => "failed",
    };
    all_of(ends, word, &["written", "failed"]);
}

#[test]
fn the_documented_digest_is_that_of_the_first_facts() {
    let [digest] = parts::<String>("facts-digest")
        .try_into()
        .expect("one digest");
    let first = messages("to-enroller").into_iter().find_map(|m| match m {
        ToEnroller::Enrol(enrol) => Some(enrol.facts),
        ToEnroller::Reveal { .. } => None,
    });
    assert_eq!(first.expect("an enrolment").digest(), digest);
}

/// Codes stand in the text, each in backquotes.
#[test]
fn every_code_of_a_refusal_is_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PROTOCOL.md");
    let text = fs::read_to_string(path).expect("the document");
    let (_, rest) = text.split_once("The codes of `refused`: ").expect("a list");
    let (list, _) = rest.split_once(". ").expect("its end");
    for code in list.replace('\n', " ").split(", ") {
        let code = code.trim_matches('`');
        let read: RefusalCode = serde_json::from_value(code.into()).expect("a text");
        assert_ne!(read, RefusalCode::Unknown, "{code} is no code");
    }
    let mut after = Some(RefusalCode::BadProof);
    while let Some(code) = after {
        let word = serde_json::to_value(code).expect("JSON");
        let word = format!("`{}`", word.as_str().expect("a word"));
        assert!(list.contains(&word), "{word} is not in the list");
        after = next(code);
    }
}

/// All codes in a row: a `match` without `_`, so that a new one has to be put into it.
fn next(code: RefusalCode) -> Option<RefusalCode> {
    match code {
        RefusalCode::BadProof => Some(RefusalCode::Expired),
        RefusalCode::Expired => Some(RefusalCode::WrongAddress),
        RefusalCode::WrongAddress => Some(RefusalCode::Disputed),
        RefusalCode::Disputed => Some(RefusalCode::RefusedByPerson),
        RefusalCode::RefusedByPerson => Some(RefusalCode::Revoked),
        RefusalCode::Revoked => Some(RefusalCode::WrongBoot),
        RefusalCode::WrongBoot => Some(RefusalCode::Replayed),
        RefusalCode::Replayed => Some(RefusalCode::NotAllowed),
        RefusalCode::NotAllowed => Some(RefusalCode::LevelTooLow),
        RefusalCode::LevelTooLow => Some(RefusalCode::Busy),
        RefusalCode::Busy => Some(RefusalCode::WrongHardware),
        RefusalCode::WrongHardware => Some(RefusalCode::Unsupported),
        RefusalCode::Unsupported => Some(RefusalCode::NoJob),
        RefusalCode::NoJob => Some(RefusalCode::Failed),
        RefusalCode::Failed => Some(RefusalCode::Protocol),
        RefusalCode::Protocol | RefusalCode::Unknown => None,
    }
}
