//! Peers: other sites, what they may, and how they come and go.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Page, PageQuery,
    words::{PeerState, Presence},
};
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        conditional::{IfMatch, Tagged},
        error::Problem,
        extract::{JsonBody, Params, Segment, parse},
    },
    state::{
        Timestamp, View,
        label::Selector,
        ops::{AllowPeer, PeerError, RevokePeer},
        peer::{InvitationText, Peer, SiteName},
        revision::Subject,
    },
};

/// Another site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Peer)]
pub struct PeerDoc {
    /// Its name.
    pub site: String,
    /// Whether it counts.
    pub state: PeerState,
    /// Whether a link with it stands now.
    pub linked: bool,
    /// Whether it is there, as far as this site and its peers know; absent for one that was revoked.
    #[serde(default)]
    pub presence: Option<Presence>,
    /// Since when it is there, or not.
    #[serde(default)]
    pub presence_since: Option<Timestamp>,
    /// How long a packet takes there and back, milliseconds, while a link stands.
    #[serde(default)]
    pub rtt_ms: Option<u64>,
    /// SHA-256 of its CA, by which it is believed.
    pub ca_sha256: String,
    /// Where its controllers listen.
    pub addresses: Vec<String>,
    /// Selectors of the machines registered here that it may boot at its place. None: it may ask about none.
    pub may_ask: Vec<String>,
    /// Selectors of the machines registered here that it may boot here. None: it may boot none.
    pub may_boot: Vec<String>,
    /// Whether it may boot machines here that nobody registered here.
    pub may_boot_unknown: bool,
    /// Selectors of the machines registered here that its people may see. None: they see none.
    #[serde(default)]
    pub may_see: Vec<String>,
    /// Whether it may have the public images of this site.
    #[serde(default)]
    pub gives_images: bool,
    /// How many MACs it says it has something for.
    pub names: usize,
    /// How many ends of boots it has still to be told.
    pub untold: usize,
    /// Who said so last: invited it, accepted its invitation, revoked it.
    pub by: String,
    /// Since when it is so.
    pub since: Timestamp,
}

impl PeerDoc {
    fn of(peer: &Peer, view: &View, api: &Api) -> Self {
        let texts = |selectors: &[Selector]| selectors.iter().map(ToString::to_string).collect();
        let mesh = api.mesh().ok();
        let seen = mesh.and_then(|m| m.federation().seen(&peer.site));
        let seen = seen.filter(|_| peer.is_joined());
        let rtt = seen.and_then(|s| s.rtt);
        Self {
            presence: seen.map(|s| s.presence.into()),
            presence_since: seen.map(|s| s.since),
            rtt_ms: rtt.map(|rtt| rtt.as_millis().try_into().unwrap_or(u64::MAX)),
            site: peer.site.to_string(),
            state: peer.state.into(),
            linked: mesh.is_some_and(|m| m.federation().links_with(&peer.site) > 0),
            ca_sha256: peer.ca_sha256.to_string(),
            addresses: peer.addresses.iter().map(ToString::to_string).collect(),
            may_ask: texts(&peer.may_ask),
            may_boot: texts(&peer.may_boot),
            may_boot_unknown: peer.may_boot_unknown,
            may_see: texts(&peer.may_see),
            gives_images: peer.gives_images,
            names: view.named_by(&peer.site).map_or(0, |n| n.macs.len()),
            untold: view.outgoing().filter(|o| o.site == peer.site).count(),
            by: peer.by.clone(),
            since: peer.since,
        }
    }
}

/// An invitation that was just made: its text is shown here and never again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PeerInvitation)]
pub struct InvitationDoc {
    /// The text to give to the other site's admin.
    pub invitation: String,
    /// Its name.
    pub id: String,
    /// When it ends.
    pub expires: Timestamp,
}

/// Makes an invitation, good once and for an hour. Its text is in this answer only.
#[utoipa::path(post, path = "/peer-invitations", tag = "peers", operation_id = "peers_invite",
    responses((status = 201, body = InvitationDoc)))]
pub(crate) async fn invite(
    State(api): State<Api>,
    caller: Caller,
) -> Result<(StatusCode, Json<InvitationDoc>), Problem> {
    let made = api.mesh()?.federation().invite(caller.name).await??;
    let (kept, invitation) = made;
    let doc = InvitationDoc {
        invitation,
        id: kept.id.to_string(),
        expires: kept.expires,
    };
    Ok((StatusCode::CREATED, Json(doc)))
}

/// An invitation to accept.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinBody {
    /// Its text, as the other site printed it.
    pub invitation: String,
}

/// Accepts an invitation of another site: both know each other when this returns, and neither may anything yet.
#[utoipa::path(post, path = "/peers", tag = "peers", operation_id = "peers_join", request_body = JoinBody,
    responses((status = 201, body = PeerDoc)))]
pub(crate) async fn join(
    State(api): State<Api>,
    caller: Caller,
    JsonBody(body): JsonBody<JoinBody>,
) -> Result<(StatusCode, Json<PeerDoc>), Problem> {
    let text: InvitationText = parse(&body.invitation, "invitation")?;
    let peer = api.mesh()?.federation().join(&text, caller.name).await?;
    let doc = PeerDoc::of(&peer, &api.store.view(), &api);
    Ok((StatusCode::CREATED, Json(doc)))
}

/// Lists other sites, revoked ones too, by name.
#[utoipa::path(get, path = "/peers", tag = "peers", operation_id = "peers_list", params(PageQuery),
    responses((status = 200, body = Page<PeerDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<PeerDoc>>, Problem> {
    let view = api.store.view();
    page.cut(
        view.peers(),
        |p| p.site.to_string(),
        |p| PeerDoc::of(p, &view, &api),
    )
}

/// Shows another site.
#[utoipa::path(get, path = "/peers/{site}", tag = "peers", operation_id = "peers_show",
    params(("site" = String, Path, description = "Its name")),
    responses((status = 200, body = PeerDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    site: Segment,
) -> Result<Tagged<PeerDoc>, Problem> {
    let site: SiteName = site.parse("peer")?;
    let view = api.store.view();
    let missing = || PeerError::NotFound(site.to_string());
    let peer = view.peer(&site).ok_or_else(missing)?;
    Ok(Tagged::new(&**peer, PeerDoc::of(peer, &view, &api)))
}

/// What another site may; what is absent stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowBody {
    /// Selectors of the machines registered here that it may boot at its place; an empty list: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_ask: Option<Vec<String>>,
    /// Selectors of the machines registered here that it may boot here; an empty list: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_boot: Option<Vec<String>>,
    /// Whether it may boot machines here that nobody registered here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_boot_unknown: Option<bool>,
    /// Selectors of the machines registered here that its people may see, and what happens to them; an empty list: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_see: Option<Vec<String>>,
    /// Whether it may have the public images of this site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gives_images: Option<bool>,
}

fn selectors(texts: Option<Vec<String>>) -> Result<Option<Vec<Selector>>, Problem> {
    let parsed = texts.map(|t| t.iter().map(|s| parse(s, "selector")).collect());
    parsed.transpose()
}

/// Says what another site may, from its next question on.
#[utoipa::path(patch, path = "/peers/{site}", tag = "peers", operation_id = "peers_allow", request_body = AllowBody,
    params(("site" = String, Path, description = "Its name"), IfMatch),
    responses((status = 200, body = PeerDoc)))]
pub(crate) async fn allow(
    State(api): State<Api>,
    caller: Caller,
    site: Segment,
    read: IfMatch,
    JsonBody(body): JsonBody<AllowBody>,
) -> Result<Tagged<PeerDoc>, Problem> {
    let allow = AllowPeer {
        site: site.parse("peer")?,
        may_ask: selectors(body.may_ask)?,
        may_boot: selectors(body.may_boot)?,
        may_boot_unknown: body.may_boot_unknown,
        may_see: selectors(body.may_see)?,
        gives_images: body.gives_images,
        by: caller.name,
    };
    let about = Subject::Peer(allow.site.clone());
    let peer = read.apply(&api, about, allow).await??;
    let document = PeerDoc::of(&peer, &api.store.view(), &api);
    Ok(Tagged::new(&peer, document))
}

/// Parts from another site: its links are closed, nothing more is taken from it, and nothing that it granted is served.
#[utoipa::path(post, path = "/peers/{site}/revoke", tag = "peers", operation_id = "peers_revoke",
    params(("site" = String, Path, description = "Its name")),
    responses((status = 200, body = PeerDoc)))]
pub(crate) async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    site: Segment,
) -> Result<Json<PeerDoc>, Problem> {
    let revoke = RevokePeer {
        site: site.parse("peer")?,
        by: caller.name,
    };
    let peer = api.store.apply(revoke).await??;
    Ok(Json(PeerDoc::of(&peer, &api.store.view(), &api)))
}
