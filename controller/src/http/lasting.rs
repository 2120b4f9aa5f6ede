//! Answers that go on and on, such as live events: they end when what their caller showed is not good any more.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use futures_util::StreamExt as _;

use super::scope::Scope;
use crate::{
    state::{
        Timestamp, View, api_token::TokenPrefix, machine::MachineId, trust::Digest, user::UserName,
    },
    store::Store,
};

/// How often it is looked whether a time is over; what people change is seen at once.
const LOOK: Duration = Duration::from_secs(30);

/// By what a caller is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shown {
    /// A token.
    Token(TokenPrefix),
    /// A session.
    Session(Digest),
    /// The transport's word, which somebody may have struck out.
    Account(UserName),
    /// Labels of a machine that is within reach by them.
    Within(MachineId, Scope),
    /// A word that nobody can take back.
    Host,
}

impl Shown {
    fn stands(&self, view: &View, now: Timestamp) -> bool {
        use crate::state::api_token::TokenStanding::Good;
        match self {
            Self::Token(prefix) => view
                .api_token(*prefix)
                .is_some_and(|token| token.standing(view, now) == Good),
            Self::Session(id) => view.session(id).is_some_and(|s| s.stands(view, now)),
            Self::Account(name) => view.user(name).is_none_or(|user| !user.disabled),
            Self::Within(machine, scope) => scope.reaches(Some(machine), view),
            Self::Host => true,
        }
    }
}

/// The answer, for as long as what was shown is good.
pub(super) fn while_good(store: &Store, shown: Shown, response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    if shown == Shown::Host || kind != Some(&HeaderValue::from_static("text/event-stream")) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let over = Box::pin(over(store.clone(), shown));
    let body = body.into_data_stream().take_until(over);
    Response::from_parts(parts, Body::from_stream(body))
}

async fn over(store: Store, shown: Shown) {
    let mut grown = store.subscribe();
    loop {
        let view: Arc<View> = store.view();
        if !shown.stands(&view, store.now()) {
            return;
        }
        drop(view);
        tokio::select! {
            changed = grown.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
