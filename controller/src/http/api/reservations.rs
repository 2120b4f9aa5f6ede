//! Reservations: addresses that a person fixed for stations (server mode).

use std::net::Ipv4Addr;

use axum::{extract::State, http::StatusCode};
use ipxe::MacAddr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Page, PageQuery};
use crate::{
    http::{
        Api,
        answer::Json,
        conditional::{IfMatch, Tagged},
        error::Problem,
        extract::{JsonBody, Params, Segment, parse},
    },
    state::{
        View,
        lease::Reservation,
        ops::{DeleteReservation, ReservationError, SetReservation},
        revision::Subject,
    },
};

/// An address fixed for a station.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Reservation)]
pub struct ReservationDoc {
    /// Whose.
    #[schema(value_type = String, example = "52:54:00:77:00:01")]
    pub mac: MacAddr,
    /// Which.
    #[schema(value_type = String, format = Ipv4)]
    pub ip: Ipv4Addr,
    /// The host name the station is given.
    pub hostname: Option<String>,
    /// The machine's name, when it is known.
    pub machine: Option<String>,
}

impl ReservationDoc {
    fn of(reservation: &Reservation, view: &View) -> Self {
        Self {
            mac: reservation.mac,
            ip: reservation.ip,
            hostname: reservation.hostname.clone(),
            machine: view
                .machine_by_mac(reservation.mac)
                .map(|m| m.name.to_string()),
        }
    }
}

/// Lists reservations, by MAC.
#[utoipa::path(get, path = "/reservations", tag = "reservations", operation_id = "reservations_list", params(PageQuery),
    responses((status = 200, body = Page<ReservationDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<ReservationDoc>>, Problem> {
    let view = api.store.view();
    page.cut(
        view.reservations(),
        |r| r.mac.to_string(),
        |r| ReservationDoc::of(r, &view),
    )
}

/// Shows a reservation.
#[utoipa::path(get, path = "/reservations/{mac}", tag = "reservations", operation_id = "reservations_show",
    params(("mac" = String, Path, description = "MAC in any spelling")),
    responses((status = 200, body = ReservationDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    mac: Segment,
) -> Result<Tagged<ReservationDoc>, Problem> {
    let (view, mac) = (api.store.view(), mac.parse("mac")?);
    let found = view.reservation(mac);
    let found = found.ok_or(ReservationError::NotFound(mac))?;
    Ok(Tagged::new(&**found, ReservationDoc::of(found, &view)))
}

/// The address to reserve.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reserve {
    /// Need not be inside the pool, must be inside the subnet.
    #[schema(format = Ipv4)]
    pub ip: String,
    /// A host name to give to the station.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}

/// Reserves an address for a station; replaces the one it has.
#[utoipa::path(put, path = "/reservations/{mac}", tag = "reservations", operation_id = "reservations_set", request_body = Reserve,
    params(("mac" = String, Path, description = "MAC in any spelling"), IfMatch),
    responses((status = 200, body = ReservationDoc)))]
pub(crate) async fn set(
    State(api): State<Api>,
    mac: Segment,
    read: IfMatch,
    JsonBody(body): JsonBody<Reserve>,
) -> Result<Tagged<ReservationDoc>, Problem> {
    let mac = mac.parse("mac")?;
    let transition = SetReservation(Reservation {
        mac,
        ip: parse(&body.ip, "ip")?,
        hostname: body.hostname,
    });
    let about = Subject::Reservation(mac);
    let reservation = read.apply(&api, about, transition).await??;
    let document = ReservationDoc::of(&reservation, &api.store.view());
    Ok(Tagged::new(&reservation, document))
}

/// Ends a reservation. The station keeps its lease until that ends.
#[utoipa::path(delete, path = "/reservations/{mac}", tag = "reservations", operation_id = "reservations_delete",
    params(("mac" = String, Path, description = "MAC in any spelling"), IfMatch),
    responses((status = 204)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    mac: Segment,
    read: IfMatch,
) -> Result<StatusCode, Problem> {
    let mac = mac.parse("mac")?;
    let about = Subject::Reservation(mac);
    read.apply(&api, about, DeleteReservation(mac)).await??;
    Ok(StatusCode::NO_CONTENT)
}
