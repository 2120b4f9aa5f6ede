//! Frames of the mesh of sites on a link: each is a stream of its own that nobody answers. A link that cannot take one at once
//! loses it, as a network would; a site that knows nothing of frames takes none.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use mesh_proto::wan::MAX_FRAME;
use quinn::{RecvStream, VarInt};
use tokio::time::timeout;

use super::PeerLink;
use crate::close::LinkEnd;

/// Frames of one link that are under way at once.
pub(super) const FRAME_STREAMS: u32 = 16;
/// Time for a frame to arrive whole: it is a packet or four, and may have been lost some times.
const WHOLE: Duration = Duration::from_secs(10);

impl PeerLink {
    /// Sends a frame. Whether it is on its way.
    #[must_use]
    pub fn send_frame(&self, frame: &[u8]) -> bool {
        let Some(Ok(mut stream)) = at_once(self.connection.open_uni()) else {
            return false;
        };
        let sent = matches!(at_once(stream.write_all(frame)), Some(Ok(())));
        if !sent {
            // Dropped as it is, it would end as if it were whole.
            let _gone = stream.reset(VarInt::from_u32(0));
        }
        sent
    }

    /// The next frame of the other side, not read yet. Safe to drop and call again (cancel-safe).
    ///
    /// # Errors
    /// How the link ended.
    pub async fn accept_frame(&self) -> Result<PeerFrame, LinkEnd> {
        Ok(PeerFrame(self.connection.accept_uni().await?))
    }

    /// How long a packet takes there and back, as the link has found out.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.connection.rtt()
    }
}

/// A frame that has begun to arrive.
#[derive(Debug)]
pub struct PeerFrame(RecvStream);

impl PeerFrame {
    /// The frame; `None` when it is too long, or does not come in time.
    pub async fn read(mut self) -> Option<Vec<u8>> {
        let whole = timeout(WHOLE, self.0.read_to_end(MAX_FRAME)).await;
        whole.ok()?.ok()
    }
}

/// What a future gives that does not have to wait.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
