//! What boot helpers ask and are answered.

use mesh_proto::message::{
    boot::{BootAnswer, BootAsk, Note},
    link::{ControllerReply, FromAgent},
};

use super::{all_of, messages};

#[test]
fn every_question_of_a_helper_and_every_note_is_documented() {
    let asks = || {
        let asks = messages("from-agent").into_iter();
        asks.filter_map(|m| match m {
            FromAgent::Boot { ask } => Some(ask),
            _ => None,
        })
    };
    let word = |ask: &BootAsk| match ask {
        BootAsk::Offer(_) => "offer",
        BootAsk::Notes { .. } => "notes",
        BootAsk::Script(_) => "script",
        BootAsk::File { .. } => "file",
        BootAsk::Programs => "programs",
        BootAsk::Delegation => "delegation",
        BootAsk::Served(_) => "served",
        BootAsk::NonceFile(_) => "nonce-file",
        BootAsk::Received(_) => "received",
        BootAsk::Callback { .. } => "callback",
    };
    let all = [
        "offer",
        "notes",
        "script",
        "file",
        "programs",
        "delegation",
        "served",
        "nonce-file",
        "received",
        "callback",
    ];
    all_of(asks(), word, &all);

    let notes = asks().flat_map(|ask| match ask {
        BootAsk::Notes { notes } => notes,
        _ => Vec::new(),
    });
    let word = |note: &Note| match note {
        Note::Asked { .. } => "asked",
        Note::AddressRequested { .. } => "address-requested",
        Note::ForeignServer { .. } => "foreign-server",
        Note::Loaded { .. } => "loaded",
        Note::Http { .. } => "http",
    };
    let all = [
        "asked",
        "address-requested",
        "foreign-server",
        "loaded",
        "http",
    ];
    all_of(notes, word, &all);
}

#[test]
fn every_answer_to_a_helper_is_documented() {
    let answers = messages("controller-reply").into_iter();
    let answers = answers.filter_map(|m| match m {
        ControllerReply::Boot { answer } => Some(answer),
        _ => None,
    });
    let word = |answer: &BootAnswer| match answer {
        BootAnswer::Noted => "noted",
        BootAnswer::Offer(_) => "offer",
        BootAnswer::Script { .. } => "script",
        BootAnswer::File { .. } => "file",
        BootAnswer::Programs { .. } => "programs",
        BootAnswer::Delegation(_) => "delegation",
        BootAnswer::Served { .. } => "served",
        BootAnswer::NonceFile(_) => "nonce-file",
        BootAnswer::Callback { .. } => "callback",
    };
    let all = [
        "noted",
        "offer",
        "script",
        "file",
        "programs",
        "delegation",
        "served",
        "nonce-file",
        "callback",
    ];
    all_of(answers, word, &all);
}
