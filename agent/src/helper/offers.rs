//! What a DHCP client is offered: as the controller says; without it as it was delegated, unless another is heard offering.

use std::time::Duration;

use ipxe::PxeClient;
use ipxe_net::BootOffer;
use mesh_proto::message::boot::{BootAnswer, BootAsk};
use tokio::time::{Instant, sleep};

use super::{
    away::Away,
    heard::Heard,
    line::{Line, NoAnswer},
    words,
};

/// Time for an offer: iPXE waits two seconds for one, and a turn at the controller lasts three.
const OFFER: Duration = Duration::from_secs(1);
/// How long another's offer is listened for without the controller, in steps; it takes milliseconds to come.
const LISTEN: Duration = Duration::from_millis(400);
/// The most steps: iPXE must still hear us.
const MOST_STEPS: u32 = 4;

/// The answer for one client; `None`: silence.
pub(super) async fn offer(
    line: &Line,
    away: &Away,
    heard: &Heard,
    client: &PxeClient,
) -> Option<BootOffer> {
    let began = Instant::now();
    let ask = BootAsk::Offer(words::client(client));
    match line.ask(ask, OFFER).await {
        // Who comes so late may have been taken for away by those who listen.
        Ok(BootAnswer::Offer(_)) if began.elapsed() >= LISTEN && heard.since(client.mac, began) => {
            None
        }
        Ok(BootAnswer::Offer(offer)) => Some(words::offer(offer)),
        Err(NoAnswer::Away) => alone(away, heard, client, began).await,
        Ok(_) | Err(NoAnswer::Refused(_)) => None,
    }
}

/// What is offered without the controller, unless another is heard offering first: a helper whose link stands answers at
/// once, and of those without one each listens for those before it.
async fn alone(
    away: &Away,
    heard: &Heard,
    client: &PxeClient,
    began: Instant,
) -> Option<BootOffer> {
    let (offer, steps) = away.offer(client);
    if offer == BootOffer::Silent {
        return None;
    }
    sleep(LISTEN * steps.min(MOST_STEPS)).await;
    (!heard.since(client.mac, began)).then_some(offer)
}
