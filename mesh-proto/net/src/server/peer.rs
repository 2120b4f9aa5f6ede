//! Links between sites, from the side that is dialled, and the dialling of them from this same port.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant as StdInstant},
};

use mesh_proto::{
    identity::Role,
    message::peer::{FromInviter, ToInviter},
};
use quinn::{ClientConfig, Connection, crypto::rustls::QuicClientConfig};
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Desk, ServerHandle, Slot,
    link::{blame, peer_of},
    lock,
};
use crate::{
    agent::{LinkError, stands},
    authority::{MeshAuthority, Refused},
    cert::controller_name,
    close::{CloseCode, LinkEnd},
    peer::{PeerLink, dial::first_id},
    stream::{Reader, StreamError, write, write_last},
    tls::{peer_config, peer_join_config},
    transport::peer_transport,
};

/// Time from the first packet to a link that stands: sites are further away than agents, and nobody waits for it.
const DIAL: Duration = Duration::from_secs(5);
/// Time for an answer to be taken.
const ANSWER: Duration = Duration::from_secs(10);

/// A controller of another site came.
pub(super) async fn serve<A: MeshAuthority>(
    desk: &Arc<Desk<A>>,
    connection: Connection,
    slot: Slot,
) {
    let Some(peer) = peer_of(&connection, (desk.clock)()) else {
        let text = "a link between sites needs a controller's certificate";
        let why = Refused::NoCertificate;
        return desk.dismiss(&connection, why, CloseCode::NoCertificate, text);
    };
    // Our own agents, and our own controller's certificate in other hands.
    if peer.role != Role::Controller || peer.site == desk.identity().site() {
        let text = "these links are for controllers of other sites";
        return desk.dismiss(&connection, Refused::Role, CloseCode::NoCertificate, text);
    }
    if peer.expired {
        let text = "the certificate has expired";
        return desk.dismiss(&connection, Refused::Expired, CloseCode::Refused, text);
    }
    drop(slot);
    let link = PeerLink::new(&peer.site, connection);
    desk.authority.peer(link).await;
}

/// Somebody shows an invitation.
pub(super) async fn join<A: MeshAuthority>(
    desk: &Arc<Desk<A>>,
    connection: Connection,
    slot: Slot,
) {
    let from = connection.remote_address();
    if !desk.quotas.admit_invited(from.ip(), StdInstant::now()) {
        let text = "too many attempts from this address; try again in a minute";
        return desk.dismiss(&connection, Refused::EnrolQuota, CloseCode::Busy, text);
    }
    match first(desk, &connection).await {
        Ok((mut send, ask)) => {
            let reply = desk.authority.peer_join(ask, from).await;
            let _gone = write_last(&mut send, &reply, ANSWER).await;
            connection.close(
                CloseCode::Done.to_wire(),
                b"joined or not, the stream said it",
            );
        }
        Err(error) => {
            let (why, code) = blame(&error);
            desk.dismiss(&connection, why, code, &error.to_string());
        }
    }
    drop(slot);
}

async fn first<A: MeshAuthority>(
    desk: &Desk<A>,
    connection: &Connection,
) -> Result<(quinn::SendStream, ToInviter), StreamError> {
    let until = Instant::now() + desk.limits.patience;
    let accepted = timeout_at(until, connection.accept_bi()).await;
    let (send, recv) = accepted
        .map_err(|_| StreamError::TimedOut)?
        .map_err(|_| StreamError::Ended)?;
    let ask = Reader::early(recv).next(until).await?;
    Ok((send, ask.ok_or(StreamError::Ended)?))
}

impl ServerHandle {
    /// Dials a controller of another site, from our own port. Only who holds that site's name under `ca` is believed.
    ///
    /// # Errors
    /// Why there is no link.
    pub async fn dial_peer(
        &self,
        site: &str,
        ca: CertificateDer<'static>,
        at: SocketAddr,
    ) -> Result<PeerLink, LinkError> {
        let identity = Arc::clone(&lock(&self.identity));
        let tls = peer_config(&identity, (site, ca), &self.clock)?;
        let connection = self.dial(site, tls, at).await?;
        Ok(PeerLink::new(site, connection))
    }

    /// Shows an invitation to the site that made it. Nothing is sent before that site has shown the CA which the invitation
    /// names.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn join_peer(
        &self,
        (site, ca_sha256): (&str, [u8; 32]),
        at: SocketAddr,
        join: &ToInviter,
    ) -> Result<FromInviter, LinkError> {
        let tls = peer_join_config(ca_sha256, &self.clock)?;
        let connection = self.dial(site, tls, at).await?;
        let asked = async {
            let (mut send, recv) = connection.open_bi().await.map_err(LinkEnd::from)?;
            let failed = |e: StreamError| LinkError::Broken(e.to_string());
            write(&mut send, join, ANSWER).await.map_err(failed)?;
            let _stopped = send.finish();
            Reader::early(recv).expect(ANSWER).await.map_err(failed)
        };
        let answer = timeout(ANSWER, asked)
            .await
            .map_err(|_| LinkError::Silent)?;
        let answer = match (answer, connection.close_reason()) {
            (Err(_), Some(end)) => Err(LinkEnd::from(end).into()),
            (answer, _) => answer,
        };
        connection.close(CloseCode::Done.to_wire(), b"");
        answer
    }

    async fn dial(
        &self,
        site: &str,
        tls: QuicClientConfig,
        at: SocketAddr,
    ) -> Result<Connection, LinkError> {
        let mut config = ClientConfig::new(Arc::new(tls));
        config
            .transport_config(peer_transport())
            .initial_dst_cid_provider(Arc::new(first_id));
        let begun = self
            .endpoint
            .connect_with(config, at, &controller_name(site));
        let begun = begun.map_err(|e| LinkError::Dial {
            controller: at,
            text: e.to_string(),
        })?;
        let stands = timeout(DIAL, stands(begun)).await;
        stands.map_err(|_| LinkError::Silent)?
    }
}
