//! DHCP leases: addresses lent to stations (server mode).

use std::net::Ipv4Addr;

use axum::extract::State;
use ipxe::MacAddr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Page, PageQuery};
use crate::{
    http::{Api, answer::Json, error::Problem, extract::Params},
    state::{Timestamp, View, lease::LeaseRecord},
};

/// An address lent to a station.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Lease)]
pub struct LeaseDoc {
    /// Whose.
    #[schema(value_type = String, example = "52:54:00:77:00:01")]
    pub mac: MacAddr,
    /// Which.
    #[schema(value_type = String, format = Ipv4)]
    pub ip: Ipv4Addr,
    /// Until when.
    pub expires: Timestamp,
    /// The name the client gave.
    pub hostname: Option<String>,
    /// The machine's name, when it is known.
    pub machine: Option<String>,
}

impl LeaseDoc {
    fn of(lease: &LeaseRecord, view: &View) -> Self {
        Self {
            mac: lease.mac,
            ip: lease.ip,
            expires: lease.expires,
            hostname: lease.hostname.clone(),
            machine: view.machine_by_mac(lease.mac).map(|m| m.name.to_string()),
        }
    }
}

/// Lists leases, also expired ones, by MAC.
#[utoipa::path(get, path = "/leases", tag = "leases", operation_id = "leases_list", params(PageQuery),
    responses((status = 200, body = Page<LeaseDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<LeaseDoc>>, Problem> {
    let view = api.store.view();
    page.cut(
        view.leases(),
        |l| l.mac.to_string(),
        |l| LeaseDoc::of(l, &view),
    )
}
