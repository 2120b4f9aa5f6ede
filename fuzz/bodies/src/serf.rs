//! Serf's RPC: what an agent, or whoever sits at its port, answers.

use std::time::Duration;

use enforcer::{
    providers::serf::{Session, Told},
    state::provider::MAX_MEMBERS,
};

/// The input is what comes, in pieces of as many bytes as its first byte says, to a session that has asked for everything once.
pub fn fuzz_serf(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else {
        return;
    };
    let mut session = Session::default();
    session.handshake();
    session.auth("key");
    session.stream();
    session.members();
    session.query("n1", "reboot", Duration::from_secs(1));
    for piece in stream.chunks(usize::from(*step).max(1)) {
        session.push(piece);
        while let Ok(Some(told)) = session.next_told() {
            check(&told);
        }
    }
}

/// What is told to people and kept is bounded and has nothing that plays with a terminal.
fn check(told: &Told) {
    match told {
        Told::All(list) | Told::Changed(list) | Told::Reaped(list) => {
            assert!(list.heard.len() <= MAX_MEMBERS);
            for heard in &list.heard {
                let tags = heard.tags.iter().flat_map(|(name, value)| [name, value]);
                let mut texts = tags.chain([heard.node.as_str(), heard.why.as_str()]);
                assert!(texts.all(|text| text.len() <= 512 && !text.contains(char::is_control)));
                let _ = heard.tags.identity();
            }
        }
        Told::Refused(_, words) => assert!(!words.contains(char::is_control)),
        Told::Welcome | Told::Streams | Told::Asking | Told::Acknowledged(_) | Told::QueryOver => {}
    }
}
