//! Sites get to know each other, say what the other may, and part again.

use std::net::SocketAddr;

use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    activation::Stage,
    event::Draft,
    label::Selector,
    peer::{
        INVITATION_LIVES, Invitation, MAX_ADDRESSES, MAX_INVITATIONS, MAX_PEERS, MAX_SELECTORS,
        NamedMacs, Peer, PeerState, SiteName,
    },
    trust::{Digest, token::TokenId},
};

/// Why a site is not taken, or not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Nobody of this name.
    #[error("no peer is called '{0}'; `enforcer peers list` shows the known ones")]
    NotFound(String),
    /// Its link was ended by a person.
    #[error("{0} was revoked; invite it again")]
    Revoked(SiteName),
    /// The name is ours.
    #[error(
        "the other site is called '{0}', as this one is; sites that know each other need different names (`site` in the configuration)"
    )]
    OurName(SiteName),
    /// Somebody else has the name here.
    #[error(
        "'{0}' is another site here, with another CA; `enforcer peers revoke {0}` first, if it was set up anew"
    )]
    OtherCa(SiteName),
    /// The invitation is not known, or its secret is another.
    #[error("the invitation is not known here")]
    BadInvitation,
    /// Its hour is over.
    #[error("the invitation has expired; `enforcer peers invite` makes a new one")]
    Expired,
    /// It was used by another site.
    #[error("the invitation was used already; `enforcer peers invite` makes a new one")]
    Used,
    /// Too many.
    #[error("{MAX_PEERS} sites are known already; revoke some")]
    Full,
    /// Too many good invitations.
    #[error("{MAX_INVITATIONS} invitations are good already; they end after an hour")]
    TooManyInvitations,
    /// Too many selectors.
    #[error("a permission has at most {MAX_SELECTORS} selectors")]
    TooManySelectors,
    /// No address, or too many.
    #[error("a site has between one and {MAX_ADDRESSES} addresses")]
    Addresses,
}

/// A person invites a site.
#[derive(Debug, Clone)]
pub struct Invite {
    /// The invitation's name; fresh.
    pub id: TokenId,
    /// SHA-256 of its secret's text.
    pub secret_sha256: Digest,
    /// Who invites.
    pub by: String,
}

impl Transition for Invite {
    type Outcome = Result<Invitation, PeerError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        if view.invitations().count() >= MAX_INVITATIONS {
            let is_good = |i: &Invitation| i.used_by.is_none() && now < i.expires;
            let spent = view.invitations().filter(|i| !is_good(i));
            let Some(first) = spent.min_by_key(|i| i.expires) else {
                return (changes, Err(PeerError::TooManyInvitations));
            };
            changes.write(Key::Invitation(first.id.clone()));
        }
        let invitation = Invitation {
            id: self.id.clone(),
            secret_sha256: self.secret_sha256,
            by: self.by.clone(),
            created: now,
            expires: now + INVITATION_LIVES,
            used_by: None,
        };
        let text = format!("{} invites another site", self.by);
        changes.event(Draft::new("peer.invited", text).field("invitation", self.id.as_str()));
        changes.write(invitation.clone());
        (changes, Ok(invitation))
    }
}

/// Who a site says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteCard {
    /// Its name.
    pub site: SiteName,
    /// Its CA, PEM.
    pub ca: String,
    /// SHA-256 of the CA's DER.
    pub ca_sha256: Digest,
    /// Where it listens for links.
    pub addresses: Vec<SocketAddr>,
}

impl SiteCard {
    /// Writes the site down as a peer; what it may is kept when it was one with this CA.
    fn joined(
        &self,
        view: &View,
        by: &str,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<Peer, PeerError> {
        let ours = view.policy.mesh.as_ref().map(|m| m.site.as_str());
        if ours == Some(self.site.as_str()) {
            return Err(PeerError::OurName(self.site.clone()));
        }
        if !(1..=MAX_ADDRESSES).contains(&self.addresses.len()) {
            return Err(PeerError::Addresses);
        }
        let known = view.peer(&self.site);
        if known.is_some_and(|p| p.is_joined() && p.ca_sha256 != self.ca_sha256) {
            return Err(PeerError::OtherCa(self.site.clone()));
        }
        if known.is_none() && view.peers().count() >= MAX_PEERS {
            return Err(PeerError::Full);
        }
        let kept = known.filter(|p| p.is_joined());
        let peer = Peer {
            site: self.site.clone(),
            ca: self.ca.clone(),
            ca_sha256: self.ca_sha256,
            addresses: self.addresses.clone(),
            may_ask: kept.map_or_else(Vec::new, |p| p.may_ask.clone()),
            may_boot: kept.map_or_else(Vec::new, |p| p.may_boot.clone()),
            may_boot_unknown: kept.is_some_and(|p| p.may_boot_unknown),
            may_see: kept.map_or_else(Vec::new, |p| p.may_see.clone()),
            gives_images: kept.is_some_and(|p| p.gives_images),
            state: PeerState::Joined,
            by: by.to_owned(),
            since: now,
        };
        if kept.is_none() {
            let text = format!("{} is a peer now; it may nothing yet", self.site);
            changes.event(about("peer.joined", &self.site, text));
        }
        changes.write(peer.clone());
        Ok(peer)
    }
}

/// A site shows an invitation of ours.
#[derive(Debug, Clone)]
pub struct AdmitPeer {
    /// Which invitation.
    pub invitation: TokenId,
    /// SHA-256 of the secret that was shown.
    pub shown: Digest,
    /// Who shows it.
    pub card: SiteCard,
}

impl Transition for AdmitPeer {
    type Outcome = Result<Peer, PeerError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let admitted = self.good(view, now).and_then(|mut invitation| {
            let by = format!("invitation of {}", invitation.by);
            let peer = self.card.joined(view, &by, now, &mut changes)?;
            invitation.used_by = Some((self.card.site.clone(), self.card.ca_sha256));
            changes.write(invitation);
            Ok(peer)
        });
        (changes, admitted)
    }
}

impl AdmitPeer {
    fn good(&self, view: &View, now: Timestamp) -> Result<Invitation, PeerError> {
        let known = view.invitation(&self.invitation);
        let known = known.filter(|i| i.secret_sha256 == self.shown);
        let known = known.ok_or(PeerError::BadInvitation)?;
        let who = (self.card.site.clone(), self.card.ca_sha256);
        match &known.used_by {
            // Its answer got lost.
            Some(used) if *used == who && view.peer(&who.0).is_some_and(|p| p.is_joined()) => {}
            Some(_) => return Err(PeerError::Used),
            None if now >= known.expires => return Err(PeerError::Expired),
            None => {}
        }
        Ok(Invitation::clone(known))
    }
}

/// The site that invited us has admitted us; its CA is the one that the invitation names.
#[derive(Debug, Clone)]
pub struct JoinPeer {
    /// Who it is.
    pub card: SiteCard,
    /// The person who accepted the invitation.
    pub by: String,
}

impl Transition for JoinPeer {
    type Outcome = Result<Peer, PeerError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let joined = self.card.joined(view, &self.by, now, &mut changes);
        (changes, joined)
    }
}

/// A person says what a peer may; what is absent stays.
#[derive(Debug, Clone)]
pub struct AllowPeer {
    /// Which.
    pub site: SiteName,
    /// Machines of ours that it may boot at its place.
    pub may_ask: Option<Vec<Selector>>,
    /// Machines registered here for which its answer is taken.
    pub may_boot: Option<Vec<Selector>>,
    /// Whether its answer is taken for machines that nobody registered here.
    pub may_boot_unknown: Option<bool>,
    /// Machines of ours that its people may see.
    pub may_see: Option<Vec<Selector>>,
    /// Whether it may have our public images.
    pub gives_images: Option<bool>,
    /// Who says so.
    pub by: String,
}

impl Transition for AllowPeer {
    type Outcome = Result<Peer, PeerError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let allowed = self.allowed(view);
        if let Ok(peer) = &allowed {
            let text = format!("{} changed what {} may", self.by, peer.site);
            changes.event(about("peer.allowed", &peer.site, text));
            changes.write(peer.clone());
        }
        (changes, allowed)
    }
}

impl AllowPeer {
    fn allowed(&self, view: &View) -> Result<Peer, PeerError> {
        let missing = || PeerError::NotFound(self.site.to_string());
        let mut peer = Peer::clone(view.peer(&self.site).ok_or_else(missing)?);
        if !peer.is_joined() {
            return Err(PeerError::Revoked(self.site.clone()));
        }
        let lists = [&self.may_ask, &self.may_boot, &self.may_see];
        if lists
            .iter()
            .any(|l| l.as_ref().is_some_and(|l| l.len() > MAX_SELECTORS))
        {
            return Err(PeerError::TooManySelectors);
        }
        peer.may_ask = self.may_ask.clone().unwrap_or(peer.may_ask);
        peer.may_boot = self.may_boot.clone().unwrap_or(peer.may_boot);
        peer.may_boot_unknown = self.may_boot_unknown.unwrap_or(peer.may_boot_unknown);
        peer.may_see = self.may_see.clone().unwrap_or(peer.may_see);
        peer.gives_images = self.gives_images.unwrap_or(peer.gives_images);
        Ok(peer)
    }
}

/// A person parts from a site: it gets nothing from now on, and nothing of it is served any more.
#[derive(Debug, Clone)]
pub struct RevokePeer {
    /// Which.
    pub site: SiteName,
    /// Who says so.
    pub by: String,
}

impl Transition for RevokePeer {
    type Outcome = Result<Peer, PeerError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let Some(known) = view.peer(&self.site) else {
            return (changes, Err(PeerError::NotFound(self.site.to_string())));
        };
        let mut peer = Peer::clone(known);
        if !peer.is_joined() {
            return (changes, Ok(peer));
        }
        (peer.state, peer.since, peer.by) = (PeerState::Revoked, now, self.by.clone());
        let text = format!("{} revoked {}", self.by, self.site);
        changes.event(about("peer.revoked", &self.site, text));
        changes.write(peer.clone());
        self.part(view, now, &mut changes);
        (changes, Ok(peer))
    }
}

impl RevokePeer {
    fn part(&self, view: &View, now: Timestamp, changes: &mut Changes) {
        changes.write(Key::NamedMacs(self.site.clone()));
        for told in view.outgoing().filter(|o| o.site == self.site) {
            changes.write(Key::Outgoing(told.nonce.clone()));
        }
        for open in view.activations().filter(|a| a.is_open()) {
            if open.taken.as_ref().is_some_and(|t| t.site == self.site) {
                let why = format!("{} was revoked", self.site);
                changes.write(open.close(Stage::Expired, why, now));
            } else if open.given.as_ref().is_some_and(|g| g.site == self.site) {
                let mut back = crate::state::activation::Activation::clone(open);
                back.given = None;
                changes.write(back);
            }
        }
    }
}

/// A peer names the MACs that it has something for.
#[derive(Debug, Clone)]
pub struct TakeMacs(pub NamedMacs);

impl Transition for TakeMacs {
    /// Whether the peer counts.
    type Outcome = bool;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, bool) {
        let mut changes = Changes::none();
        let named = &self.0;
        if !view.peer(&named.site).is_some_and(|p| p.is_joined()) {
            return (changes, false);
        }
        if view.named_by(&named.site).map(AsRef::as_ref) != Some(named) {
            changes.write(named.clone());
        }
        (changes, true)
    }
}

pub(super) fn about(kind: &str, site: &SiteName, text: String) -> Draft {
    Draft::new(kind, text).field("site", site.as_str())
}
