//! Sites that peers list and that nobody joined here.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Page, PageQuery};
use crate::{
    http::{Api, answer::Json, error::Problem, extract::Params},
    state::Timestamp,
};

/// A site that was heard of. It is shown and nothing else: it is not dialled, and is not answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = HeardSite)]
pub struct HeardSiteDoc {
    /// Its name, as they say.
    pub site: String,
    /// The peers that list it.
    pub through: Vec<String>,
    /// Whether one of them says that it is there.
    pub alive: bool,
    /// Where its controllers listen, as they say.
    pub addresses: Vec<String>,
    /// Since when it is listed so.
    pub since: Timestamp,
}

/// Lists sites that peers know and that are not joined here, by name.
#[utoipa::path(get, path = "/heard-sites", tag = "peers", operation_id = "heard_sites_list", params(PageQuery),
    responses((status = 200, body = Page<HeardSiteDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<HeardSiteDoc>>, Problem> {
    let heard = api
        .mesh()
        .map_or_else(|_| Vec::new(), |m| m.federation().heard());
    page.cut(
        heard,
        |(heard, _)| heard.site.clone(),
        |(heard, since)| HeardSiteDoc {
            site: heard.site,
            through: heard.through,
            alive: heard.alive,
            addresses: heard.addresses.iter().map(ToString::to_string).collect(),
            since,
        },
    )
}
