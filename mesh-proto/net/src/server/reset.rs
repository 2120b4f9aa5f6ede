//! A controller that was killed and is back tells its agents at once that their links are gone (RFC 9000 §10.3): else each
//! would wait some ten seconds for words that never come. It can when its key outlives the process.

use std::{sync::Arc, time::Duration};

use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use ring::hmac;

/// Long enough never to meet twice.
const CID_BYTES: usize = 8;

/// The endpoint's configuration. Without a key nobody is told after a restart.
pub(super) fn endpoint(key: Option<&[u8; 32]>) -> EndpointConfig {
    let Some(key) = key else {
        return EndpointConfig::default();
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut config = EndpointConfig::new(Arc::new(key));
    config.cid_generator(|| Box::new(Plain));
    config
}

/// Connection ids that do not show which process made them: QUIC's usual ones would be dropped by the next one, unanswered.
struct Plain;

impl ConnectionIdGenerator for Plain {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&rand::random::<[u8; CID_BYTES]>())
    }

    fn cid_len(&self) -> usize {
        CID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
