//! Two sites get to know each other: one prints an invitation, the other shows it. The secret goes only to who has shown the CA
//! that the invitation names.

use std::net::SocketAddr;

use mesh_net::{LinkError, cert, keys::certificate_der};
use mesh_proto::message::{
    Refusal, RefusalCode, Secret,
    peer::{FromInviter, ToInviter},
};
use tracing::info;

use super::{Federation, question::plain};
use crate::{
    state::{
        ops::{AdmitPeer, Invite, JoinPeer, PeerError, SiteCard},
        peer::{Invitation, InvitationText, Peer},
        trust::{Digest, token::TokenId},
    },
    store::StoreError,
};

/// Longest CA that is taken, bytes of PEM: ours have 700.
const MAX_CA: usize = 8 << 10;

/// Why an invitation cannot be accepted.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Here.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// Here.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There.
    #[error("{site} cannot be reached: {source}")]
    Link {
        /// Who invited.
        site: String,
        /// Why.
        source: LinkError,
    },
    /// There.
    #[error("{site} refused: {text}")]
    Refused {
        /// Who invited.
        site: String,
        /// Its words.
        text: String,
    },
    /// It says it is another.
    #[error("who answers is not the site that the invitation names")]
    OtherSite,
}

impl Federation {
    /// Makes an invitation; its text is shown once.
    ///
    /// # Errors
    /// When there are too many.
    pub async fn invite(
        &self,
        by: String,
    ) -> Result<Result<(Invitation, String), PeerError>, StoreError> {
        let text = InvitationText {
            site: self.0.site.clone(),
            id: TokenId::from_random(rand::random()),
            secret: Secret::new(format!("{:032x}", rand::random::<u128>())),
            ca_sha256: Digest(self.0.ca_sha256),
            addresses: self.0.addresses.clone(),
        };
        let invite = Invite {
            id: text.id.clone(),
            secret_sha256: Digest::of(text.secret.expose().as_bytes()),
            by,
        };
        let made = self.0.store.apply(invite).await?;
        Ok(made.map(|invitation| (invitation, text.reveal())))
    }

    /// Accepts an invitation of another site: both sides know each other when this returns.
    ///
    /// # Errors
    /// Why they do not.
    pub async fn join(&self, text: &InvitationText, by: String) -> Result<Peer, JoinError> {
        if text.site == self.0.site {
            return Err(PeerError::OurName(text.site.clone()).into());
        }
        let site = text.site.to_string();
        let answer = self.show(text).await.map_err(|source| JoinError::Link {
            site: site.clone(),
            source,
        })?;
        let (named, ca, addresses) = match answer {
            FromInviter::Joined {
                site,
                ca,
                addresses,
            } => (site, ca, addresses),
            FromInviter::Refused(refusal) => {
                let text = plain(&refusal.text);
                return Err(JoinError::Refused { site, text });
            }
        };
        let card = card(&named, ca, addresses).ok_or(JoinError::OtherSite)?;
        if card.site != text.site || card.ca_sha256 != text.ca_sha256 {
            return Err(JoinError::OtherSite);
        }
        let peer = self.0.store.apply(JoinPeer { card, by }).await??;
        info!(site = %peer.site, "we joined another site");
        Ok(peer)
    }

    /// Shows the invitation at the first of its addresses that answers.
    async fn show(&self, text: &InvitationText) -> Result<FromInviter, LinkError> {
        let join = ToInviter::Join {
            invitation: text.id.to_string(),
            secret: text.secret.clone(),
            site: self.0.site.to_string(),
            ca: self.0.ca.clone(),
            addresses: self.0.addresses.clone(),
        };
        let mut last = LinkError::Silent;
        for at in &text.addresses {
            let inviter = (text.site.as_str(), text.ca_sha256.0);
            match self.0.server.join_peer(inviter, *at, &join).await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// A site shows an invitation of ours.
    pub async fn admit(&self, join: ToInviter, from: SocketAddr) -> FromInviter {
        let ToInviter::Join {
            invitation,
            secret,
            site,
            ca,
            addresses,
        } = join;
        let refused = |code, text: String| FromInviter::Refused(Refusal::new(code, text));
        let not_taken = |why: String| {
            self.0.invitation_rejected(from, &why);
            refused(RefusalCode::BadProof, why)
        };
        let (Ok(invitation), Some(card)) = (invitation.parse(), card(&site, ca, addresses)) else {
            return not_taken(PeerError::BadInvitation.to_string());
        };
        let admit = AdmitPeer {
            invitation,
            shown: Digest::of(secret.expose().as_bytes()),
            card,
        };
        match self.0.store.apply(admit).await {
            Ok(Ok(peer)) => {
                info!(site = %peer.site, %from, "another site joined us");
                FromInviter::Joined {
                    site: self.0.site.to_string(),
                    ca: self.0.ca.clone(),
                    addresses: self.0.addresses.clone(),
                }
            }
            Ok(Err(error)) => not_taken(error.to_string()),
            Err(error) => refused(RefusalCode::Busy, error.to_string()),
        }
    }
}

/// What a site says of itself, if it can be.
fn card(site: &str, ca: String, addresses: Vec<SocketAddr>) -> Option<SiteCard> {
    if ca.len() > MAX_CA {
        return None;
    }
    let der = certificate_der(&ca).ok()?;
    Some(SiteCard {
        site: site.parse().ok()?,
        ca_sha256: Digest(cert::ca_sha256(&der)),
        ca,
        addresses,
    })
}
