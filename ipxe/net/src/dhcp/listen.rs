//! The ear on the client port: other servers' broadcast replies.
//!
//! A raw socket gets copies of them and takes nothing away from a DHCP client of this host.

use std::{sync::Arc, time::Instant};

use ipxe::{MacAddr, dhcp::Message};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    PER_MAC,
    interfaces::Interfaces,
    serve::{AFTER_ERROR, LONGEST},
    socket::{Came, PortSocket},
};
use crate::{BootAuthority, BootNote, quota::Quota};

/// Tells the authority about other servers until `stop`.
pub(super) async fn listen<A: BootAuthority>(
    socket: PortSocket,
    mut interfaces: Interfaces,
    authority: Arc<A>,
    stop: CancellationToken,
) {
    let mut buffer = [0; LONGEST];
    let mut quota = Quota::new(PER_MAC);
    loop {
        let got = tokio::select! {
            () = stop.cancelled() => return,
            got = socket.recv(&mut buffer) => got,
        };
        match got {
            Ok(came) => {
                let bytes = &buffer[came.payload.clone()];
                if let Some(note) = heard(bytes, &came, &mut interfaces, &mut quota) {
                    authority.note(note);
                }
            }
            Err(error) => {
                warn!(%error, "listening for other DHCP servers");
                time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

/// What a reply on the wire says about its sender; our own replies come back to us, too.
fn heard(
    bytes: &[u8],
    came: &Came,
    interfaces: &mut Interfaces,
    quota: &mut Quota<MacAddr>,
) -> Option<BootNote> {
    let now = Instant::now();
    interfaces.refresh(now);
    interfaces.address(came.interface, came.local)?;
    let message = Message::reply(bytes).ok()?;
    let offer = message.as_foreign_offer();
    let server = offer.server.unwrap_or(*came.from.ip());
    let foreign = !interfaces.all().contains(&server) && !interfaces.all().contains(came.from.ip());
    (foreign && quota.admit(message.mac, now)).then_some(BootNote::ForeignServer {
        server,
        boots: offer.boots,
        client: Some(message.mac),
    })
}
