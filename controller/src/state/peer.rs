//! Other sites: whom we know, what they may ask and boot, what they have named, and what we still have to tell them.
//!
//! Permissions, all empty until a person gives them. `may_ask`: the machines *of ours* that the peer may boot at its
//! place. `may_boot`: the machines *that boot here* for which the peer's answer is taken. `may_see`: the machines of ours
//! that its people may look at. `gives_images`: whether it may have our public images. A peer that names a MAC gets
//! nothing by it.

use std::{collections::BTreeSet, fmt, net::SocketAddr, str::FromStr};

use ipxe::MacAddr;
use mesh_proto::message::{
    Secret,
    peer::{MAX_MACS, Outcome},
};
use serde::{Deserialize, Serialize};

use super::{
    Timestamp,
    activation::Nonce,
    label::Selector,
    machine::Machine,
    trust::{Digest, token::TokenId},
};
use crate::ordered::Gather as _;

/// Sites one site may know: each costs a link.
pub const MAX_PEERS: usize = 64;
/// Invitations kept, spent ones included; the one that ended first makes room.
pub const MAX_INVITATIONS: usize = 64;
/// How long an invitation is good.
pub const INVITATION_LIVES: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
/// Addresses of one peer.
pub const MAX_ADDRESSES: usize = 8;
/// Selectors of one permission.
pub const MAX_SELECTORS: usize = 16;
/// How long a one-shot config is a peer's to serve: an installation may take hours, and a site that burnt down must not keep a
/// config for ever.
pub const GRANT_LIVES: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// The same for a standing config: so long a change at its owner may take to be seen while the sites cannot speak.
pub const STANDING_GRANT_LIVES: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// Why a text names no site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no site's name; use 1 to 63 lower-case letters, digits and hyphens")]
pub struct BadSite(pub String);

super::name::names! {
    /// A site's name: one lower-case label of a host name, as it stands in its certificates.
    SiteName: is_site_name, BadSite;
}

fn is_site_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Whether a peer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerState {
    /// Both sides hold each other's CA.
    Joined,
    /// A person ended it: no packet of it is taken any more.
    Revoked,
}

impl PeerState {
    /// Its stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Revoked => "revoked",
        }
    }
}

/// Another site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name.
    pub site: SiteName,
    /// Its CA, PEM: the only one by which it is believed.
    pub ca: String,
    /// SHA-256 of the CA's DER.
    pub ca_sha256: Digest,
    /// Where its controllers listen for links.
    pub addresses: Vec<SocketAddr>,
    /// Machines of ours that it may boot at its place.
    #[serde(default)]
    pub may_ask: Vec<Selector>,
    /// Machines registered here for which its answer is taken.
    #[serde(default)]
    pub may_boot: Vec<Selector>,
    /// Whether its answer is taken for machines that nobody registered here.
    #[serde(default)]
    pub may_boot_unknown: bool,
    /// Machines of ours that its people may see, and what happens to them.
    #[serde(default)]
    pub may_see: Vec<Selector>,
    /// Whether it may have our public images.
    #[serde(default)]
    pub gives_images: bool,
    /// Whether it counts.
    pub state: PeerState,
    /// Who invited it, or accepted its invitation.
    pub by: String,
    /// Since when it is so.
    pub since: Timestamp,
}

impl Peer {
    /// Whether it counts.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        match self.state {
            PeerState::Joined => true,
            PeerState::Revoked => false,
        }
    }

    /// Whether it may boot this machine of ours at its place.
    #[must_use]
    pub fn may_ask_for(&self, machine: &Machine) -> bool {
        let fits = |s: &Selector| s.fits(&machine.labels);
        self.is_joined() && machine.standing.is_ours() && self.may_ask.iter().any(fits)
    }

    /// Whether its people may see this machine of ours.
    #[must_use]
    pub fn may_see(&self, machine: &Machine) -> bool {
        let fits = |s: &Selector| s.fits(&machine.labels);
        self.is_joined() && machine.standing.is_ours() && self.may_see.iter().any(fits)
    }

    /// Whether its answer is taken for a machine that boots here; `None`: one that was never seen.
    #[must_use]
    pub fn may_boot_here(&self, machine: Option<&Machine>) -> bool {
        self.is_joined()
            && match machine.filter(|m| m.standing.is_ours()) {
                Some(ours) => self.may_boot.iter().any(|s| s.fits(&ours.labels)),
                None => self.may_boot_unknown,
            }
    }
}

/// An invitation as it is kept: not the secret, only its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Its name.
    pub id: TokenId,
    /// SHA-256 of its secret's text.
    pub secret_sha256: Digest,
    /// Who made it.
    pub by: String,
    /// When.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// Who used it: the site and its CA. Asking again with the same is a retry.
    #[serde(default)]
    pub used_by: Option<(SiteName, Digest)>,
}

/// An invitation's text: `enforcer-peer/SITE/ID/SECRET/CA/ADDRESS,ADDRESS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationText {
    /// The site that invites.
    pub site: SiteName,
    /// Which invitation.
    pub id: TokenId,
    /// 32 hex digits.
    pub secret: Secret,
    /// SHA-256 of the CA's DER, by which the inviter is known.
    pub ca_sha256: Digest,
    /// Where the inviter listens for links.
    pub addresses: Vec<SocketAddr>,
}

/// A text that is no invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an invitation: `enforcer peers invite` on the other site prints one")]
pub struct BadInvitation;

impl InvitationText {
    /// As a person is given it, once.
    #[must_use]
    pub fn reveal(&self) -> String {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        format!(
            "enforcer-peer/{}/{}/{}/{}/{}",
            self.site,
            self.id,
            self.secret.expose(),
            self.ca_sha256,
            addresses.join(",")
        )
    }
}

impl FromStr for InvitationText {
    type Err = BadInvitation;

    fn from_str(text: &str) -> Result<Self, BadInvitation> {
        let parts: Vec<&str> = text.trim().split('/').collect();
        let ["enforcer-peer", site, id, secret, ca, addresses] = parts[..] else {
            return Err(BadInvitation);
        };
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if secret.len() != 32 || !secret.bytes().all(hex) {
            return Err(BadInvitation);
        }
        let addresses: Result<Vec<SocketAddr>, _> = addresses.split(',').map(str::parse).collect();
        let addresses = addresses.map_err(|_| BadInvitation)?;
        if addresses.is_empty() || addresses.len() > MAX_ADDRESSES {
            return Err(BadInvitation);
        }
        Ok(Self {
            site: site.parse().map_err(|_| BadInvitation)?,
            id: id.parse().map_err(|_| BadInvitation)?,
            secret: Secret::new(secret),
            ca_sha256: ca.parse().map_err(|_| BadInvitation)?,
            addresses,
        })
    }
}

/// The MACs that a peer says it has something for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedMacs {
    /// Which peer.
    pub site: SiteName,
    /// At most [`MAX_MACS`].
    pub macs: BTreeSet<MacAddr>,
}

impl NamedMacs {
    /// What a peer sent; `None` when it is too much or is none.
    #[must_use]
    pub fn parse(site: SiteName, macs: &[String]) -> Option<Self> {
        if macs.len() > MAX_MACS {
            return None;
        }
        let macs = macs.iter().map(|m| m.parse::<MacAddr>()).try_gather();
        macs.ok().map(|macs| Self { site, macs })
    }
}

/// The end of a boot that a peer granted us, until the peer has taken note of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// Which grant: its one end has one entry.
    pub nonce: Nonce,
    /// Whom to tell.
    pub site: SiteName,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, for people.
    pub reason: String,
    /// Since when it waits.
    pub since: Timestamp,
}

/// On an activation: it is a peer's, and ours to serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The owner.
    pub site: SiteName,
}

/// On an activation: a peer serves it at its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Who serves it.
    pub site: SiteName,
    /// Until when; then it may be given to others. Its end is believed also later.
    pub until: Timestamp,
}

/// The way a question has come: no site is asked twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trail {
    /// Sites that were asked before us, the first asker first.
    pub visited: Vec<SiteName>,
    /// How often the question was handed on.
    pub hops: u8,
}

/// What a peer said about a machine, in words for `explain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAnswer {
    /// Which peer.
    pub site: SiteName,
    /// What it said, or why it said nothing.
    pub found: String,
}

impl fmt::Display for PeerAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.site, self.found)
    }
}

/// Whether the peers were asked already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peers {
    /// They may be asked; the question came this way.
    Ask(Trail),
    /// They were, and said this.
    Asked(Vec<PeerAnswer>),
}

impl Default for Peers {
    fn default() -> Self {
        Self::Ask(Trail::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation() -> InvitationText {
        InvitationText {
            site: "site-b".parse().unwrap(),
            id: TokenId::from_random(7),
            secret: Secret::new("5".repeat(32)),
            ca_sha256: Digest::of(b"ca"),
            addresses: vec![
                "192.0.2.1:4848".parse().unwrap(),
                "[2001:db8::1]:4848".parse().unwrap(),
            ],
        }
    }

    #[test]
    fn an_invitation_reads_back_and_its_secret_does_not_show() {
        let text = invitation().reveal();
        assert_eq!(text.parse(), Ok(invitation()));
        assert_eq!(format!(" {text}\n").parse(), Ok(invitation()));
        assert!(!format!("{:?}", invitation()).contains(invitation().secret.expose()));
        for bad in [
            "",
            "enforcer-peer",
            &text[1..],
            &text[..text.len() - 4],
            &format!("{text}/x"),
            &text.replace("site-b", "Site B"),
            &text.replace("192.0.2.1:4848", ""),
        ] {
            assert_eq!(bad.parse::<InvitationText>(), Err(BadInvitation), "{bad}");
        }
    }

    #[test]
    fn too_many_macs_and_what_is_no_mac_are_not_taken() {
        let named = |macs: &[String]| NamedMacs::parse("b".parse().unwrap(), macs);
        let many = |n: u16| -> Vec<String> {
            (0..n)
                .map(|i| format!("52-54-00-00-{:02x}-{:02x}", i >> 8, i & 0xff))
                .collect()
        };
        assert_eq!(named(&many(4096)).unwrap().macs.len(), MAX_MACS);
        assert_eq!(named(&many(4097)), None);
        assert_eq!(named(&["52-54".to_owned()]), None);
    }
}
