//! What a claim proves. Checked in an order that tells strangers nothing: first whether the secret is right.

use std::sync::Arc;

use mesh_proto::message::{Refusal, RefusalCode, Secret};

use super::{Claim, Enrol};
use crate::state::{
    Timestamp, View,
    machine::Machine,
    trust::token::{JoinToken, TokenState, TokenText},
};
use ipxe::MacAddr;

/// What was proved.
pub(super) enum Proved {
    /// It read the script that was sent to this machine's card.
    Boot {
        /// The machine that the card belonged to.
        owner: Arc<Machine>,
    },
    /// A person's word.
    Token {
        /// It, unused.
        token: Arc<JoinToken>,
    },
    /// Nothing.
    Nothing,
}

fn no(code: RefusalCode, text: &str) -> Refusal {
    Refusal::new(code, text)
}

impl Enrol {
    pub(super) fn proof(&self, view: &View, now: Timestamp) -> Result<Proved, Refusal> {
        match &self.claim {
            Claim::Boot { mac, shown } => self.boot_proof(view, *mac, shown.as_ref(), now),
            Claim::Token(text) => self.token_proof(view, text, now),
            Claim::None => Ok(Proved::Nothing),
        }
    }

    fn boot_proof(
        &self,
        view: &View,
        mac: MacAddr,
        shown: Option<&Secret>,
        now: Timestamp,
    ) -> Result<Proved, Refusal> {
        let wrong = || {
            let text = "the boot secret is not the one of this machine's last boot; start it again";
            no(RefusalCode::BadProof, text)
        };
        let owner = view.machine_by_mac(mac).ok_or_else(wrong)?;
        let discovery = owner.discovery.as_ref().ok_or_else(wrong)?;
        let secret = discovery.secret.as_ref().ok_or_else(wrong)?;
        if shown != Some(&secret.secret) {
            return Err(wrong());
        }
        if secret.is_expired(now) {
            let text = "the boot secret is more than an hour old; start the machine again";
            return Err(no(RefusalCode::Expired, text));
        }
        let here = secret.address.is_none_or(|ip| ip == self.from) || self.known_as == Some(mac);
        if !here {
            let text = "the boot secret was sent to another address than this";
            return Err(no(RefusalCode::WrongAddress, text));
        }
        // An answer that got lost: the same key may ask again.
        let again = || view.live_keys_of(&owner.id).any(|k| k.key == self.key);
        if secret.used && !again() {
            let text = "the boot secret was used already; start the machine again";
            return Err(no(RefusalCode::BadProof, text));
        }
        let owner = Arc::clone(owner);
        Ok(Proved::Boot { owner })
    }

    fn token_proof(&self, view: &View, text: &Secret, now: Timestamp) -> Result<Proved, Refusal> {
        let wrong = || {
            no(
                RefusalCode::BadProof,
                "no such join token; `enforcer join-tokens create` makes one",
            )
        };
        let text: TokenText = text.expose().parse().map_err(|_| wrong())?;
        let token = view.token(&text.id).ok_or_else(wrong)?;
        // Digests are compared: how long it takes tells nothing about the secret.
        if token.secret_sha256 != text.digest() {
            return Err(wrong());
        }
        let again = token.used_by.as_ref().is_some_and(|u| u.key == self.key);
        match token.state(now) {
            TokenState::Good => {}
            TokenState::Used if again => {}
            TokenState::Used => {
                return Err(no(
                    RefusalCode::BadProof,
                    "the join token was used already; create another",
                ));
            }
            TokenState::Expired => {
                return Err(no(
                    RefusalCode::Expired,
                    "the join token is too old; create another",
                ));
            }
            TokenState::Revoked => {
                return Err(no(
                    RefusalCode::Revoked,
                    "the join token was revoked; create another",
                ));
            }
        }
        let token = Arc::clone(token);
        Ok(Proved::Token { token })
    }
}
