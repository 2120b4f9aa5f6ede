//! One attempt: the message, and the way it takes.

use std::time::Duration;

use super::{MailSettings, hook, mail, message::Message};
use crate::{
    client::{Client, Trust},
    state::{
        Timestamp,
        notify::{Delivery, Target, Webhook},
        ops::Word,
    },
};

/// Longest word of a receiver that is kept, characters.
const MAX_WORDS: usize = 200;
/// How long a receiver of webhooks may take to answer: one that works for longer should take the message first.
const HOOK_WITHIN: Duration = Duration::from_secs(10);

/// Sends messages.
#[derive(Debug)]
pub struct Courier {
    /// Asks receivers of webhooks.
    pub(super) client: Client,
    /// How long they may take.
    pub(super) hook_within: Duration,
    /// The mail server, if there is one.
    pub(super) mail: Option<MailSettings>,
    /// By what the mail server is believed.
    pub(super) mail_trust: Trust,
}

impl Courier {
    /// Sends mail as `mail` says; everybody is believed by this host's CAs.
    #[must_use]
    pub fn new(mail: Option<MailSettings>) -> Self {
        Self {
            client: Client::default(),
            hook_within: HOOK_WITHIN,
            mail,
            mail_trust: Trust::default(),
        }
    }

    /// Sends one message, within a bounded time.
    pub(super) async fn send(&self, hook: &Webhook, delivery: &Delivery, now: Timestamp) -> Word {
        let message = Message::of(delivery);
        let word = match (&hook.target, &self.mail) {
            (Target::Http { url, secret }, _) => match hook::request(url, secret, &message, now) {
                Ok(request) => hook::post(&self.client, request, self.hook_within).await,
                Err(error) => Word::Failed(error),
            },
            (Target::Mail { address }, Some(settings)) => {
                mail::send(settings, &self.mail_trust, address, &message, now).await
            }
            (Target::Mail { .. }, None) => {
                let cure = "no mail server is set: write a section [mail] into the configuration";
                Word::Failed(cure.to_owned())
            }
        };
        match word {
            Word::Delivered(said) => Word::Delivered(bounded(&said)),
            Word::Failed(said) => Word::Failed(bounded(&said)),
            Word::Gone(said) => Word::Gone(bounded(&said)),
        }
    }
}

/// A receiver's words, cut and cleaned for people's eyes.
fn bounded(said: &str) -> String {
    let printable = said.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(MAX_WORDS).collect()
}
