//! One link, from the handshake to its end.

use std::{sync::Arc, time::Duration};

use mesh_proto::{
    identity::Role,
    message::{
        Refusal, RefusalCode,
        link::{ControllerReply, FromAgent, Hello},
    },
};
use quinn::{Connection, RecvStream, SendStream, rustls::pki_types::CertificateDer};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use super::{Desk, LinkHandle, Slot};
use crate::{
    authority::{MeshAuthority, Refused},
    body::{Answer, Body, BodyError, Pace, has_body, send_flow},
    cert::PeerCert,
    close::{CloseCode, LinkEnd},
    keys::Csr,
    stream::{Reader, StreamError, write_last},
    transport::LINK_STREAMS,
    wire::Give,
};

/// Time for a request of an agent to arrive, and for its answer to be taken: a megabyte over a bad radio.
const TRANSFER: Duration = Duration::from_secs(30);
/// Time for requests that run when their link ends: a goodbye is one of them.
const GRACE: Duration = Duration::from_secs(2);

/// The certificate a client showed.
pub(super) fn peer_of(connection: &Connection, now: i64) -> Option<PeerCert> {
    let chain = connection
        .peer_identity()?
        .downcast::<Vec<CertificateDer<'static>>>()
        .ok()?;
    PeerCert::parse(chain.first()?, now).ok()
}

pub(super) async fn serve<A: MeshAuthority>(
    desk: &Arc<Desk<A>>,
    connection: Connection,
    slot: Slot,
) {
    let Some(peer) = peer_of(&connection, (desk.clock)()) else {
        let text = "a link needs the certificate of an enrolled key";
        return desk.dismiss(
            &connection,
            Refused::NoCertificate,
            CloseCode::NoCertificate,
            text,
        );
    };
    // A peer's controller passes TLS on this port, but its site's agents are none of ours.
    if peer.role != Role::Agent || peer.site != desk.identity().site() {
        let text = "links are for agents";
        return desk.dismiss(&connection, Refused::Role, CloseCode::NoCertificate, text);
    }
    if let Err(refusal) = desk.authority.admit(&peer) {
        let code = if refusal.code == RefusalCode::Revoked {
            CloseCode::Revoked
        } else {
            CloseCode::Refused
        };
        return desk.dismiss(&connection, Refused::NotAdmitted, code, &refusal.text);
    }
    match first(desk, &connection).await {
        Ok((send, FromAgent::Hello(hello))) if !peer.expired => {
            open(desk, peer, connection, send, *hello, slot).await;
        }
        Ok((send, FromAgent::Hello(_))) => {
            desk.refuse(connection.remote_address(), Refused::Expired);
            let text = "the certificate has expired; renew it first";
            goodbye(&connection, send, Refusal::new(RefusalCode::Expired, text)).await;
        }
        Ok((send, FromAgent::Renew { csr })) => {
            renew_only(desk, &peer, &connection, send, &csr).await;
        }
        Ok((send, _)) => {
            desk.refuse(connection.remote_address(), Refused::Protocol);
            goodbye(
                &connection,
                send,
                misplaced("the first request of a link is its hello"),
            )
            .await;
        }
        Err(error) => {
            let (why, code) = blame(&error);
            desk.dismiss(&connection, why, code, &error.to_string());
        }
    }
}

pub(super) fn blame(error: &StreamError) -> (Refused, CloseCode) {
    if error.is_protocol() {
        (Refused::Protocol, CloseCode::Protocol)
    } else {
        (Refused::TooSlow, CloseCode::TooSlow)
    }
}

fn misplaced(text: &str) -> Refusal {
    Refusal::new(RefusalCode::Protocol, text)
}

/// The first request, from the first stream.
async fn first<A: MeshAuthority>(
    desk: &Desk<A>,
    connection: &Connection,
) -> Result<(SendStream, FromAgent), StreamError> {
    let until = Instant::now() + desk.limits.patience;
    let accepted = timeout_at(until, connection.accept_bi()).await;
    let (send, recv) = accepted
        .map_err(|_| StreamError::TimedOut)?
        .map_err(|_| StreamError::Ended)?;
    let mut reader = Reader::early(recv);
    let ask = reader.next(until).await?.ok_or(StreamError::Ended)?;
    Ok((send, ask))
}

/// Sends a refusal and closes.
async fn goodbye(connection: &Connection, mut send: SendStream, refusal: Refusal) {
    let text = refusal.text.clone();
    let _gone = write_last(&mut send, &ControllerReply::Refused(refusal), GRACE).await;
    connection.close(CloseCode::Refused.to_wire(), text.as_bytes());
}

async fn renew_only<A: MeshAuthority>(
    desk: &Desk<A>,
    peer: &PeerCert,
    connection: &Connection,
    mut send: SendStream,
    csr: &str,
) {
    let reply = renew(desk, peer, connection, csr).await;
    let _gone = write_last(&mut send, &reply, desk.limits.patience).await;
    connection.close(
        CloseCode::Done.to_wire(),
        b"renewed or not, the stream said it",
    );
}

async fn renew<A: MeshAuthority>(
    desk: &Desk<A>,
    peer: &PeerCert,
    connection: &Connection,
    csr: &str,
) -> ControllerReply {
    let from = connection.remote_address();
    let csr = match Csr::from_pem(csr) {
        Ok(csr) => csr,
        Err(error) => {
            desk.refuse(from, Refused::Csr);
            return ControllerReply::Refused(misplaced(&error.to_string()));
        }
    };
    match desk.authority.renew(peer, csr, from).await {
        Ok(certificate) => ControllerReply::Renewed { certificate },
        Err(refusal) => ControllerReply::Refused(refusal),
    }
}

async fn open<A: MeshAuthority>(
    desk: &Arc<Desk<A>>,
    peer: PeerCert,
    connection: Connection,
    mut send: SendStream,
    hello: Hello,
    slot: Slot,
) {
    let link = desk.links.open(peer, connection.clone(), desk.epoch);
    let welcome = match desk.authority.hello(&link, hello).await {
        Ok(welcome) => welcome,
        Err(refusal) => return goodbye(&connection, send, refusal).await,
    };
    drop(slot);
    desk.links.insert(&link);
    connection.set_max_concurrent_bi_streams(LINK_STREAMS.into());
    let welcomed = write_last(
        &mut send,
        &ControllerReply::Welcome(Box::new(welcome)),
        desk.limits.patience,
    )
    .await;
    if welcomed.is_err() {
        connection.close(CloseCode::TooSlow.to_wire(), b"the welcome was not taken");
    }
    let end = answer(desk, &link, &connection).await;
    desk.links.remove(&link);
    desk.authority.closed(&link, end);
}

/// Answers requests until the link ends.
async fn answer<A: MeshAuthority>(
    desk: &Arc<Desk<A>>,
    link: &LinkHandle,
    connection: &Connection,
) -> LinkEnd {
    let mut requests = JoinSet::new();
    let end = loop {
        tokio::select! {
            stream = connection.accept_bi() => match stream {
                Ok((send, recv)) => {
                    requests.spawn(request(Arc::clone(desk), link.clone(), connection.clone(), send, recv));
                }
                Err(end) => break end,
            },
            Some(_done) = requests.join_next() => {}
        }
    };
    let rest = async { while requests.join_next().await.is_some() {} };
    let _late = timeout(GRACE, rest).await;
    end.into()
}

async fn request<A: MeshAuthority>(
    desk: Arc<Desk<A>>,
    link: LinkHandle,
    connection: Connection,
    mut send: SendStream,
    recv: RecvStream,
) {
    let mut reader = Reader::link(recv);
    let reply = match reader.expect(TRANSFER).await {
        // Whatever came before the close counts, nothing after: not even what was on its way.
        Ok(_)
            if connection
                .close_reason()
                .is_some_and(|end| LinkEnd::from(end) == LinkEnd::ByUs) =>
        {
            return;
        }
        Ok(FromAgent::Hello(_)) => ControllerReply::Refused(misplaced("one hello is enough")),
        Ok(FromAgent::Renew { csr }) => renew(&desk, link.peer(), &connection, &csr).await,
        Ok(ask) if has_body(&ask) => {
            return transfer(&desk, &link, ask, reader.into_body(), Give::Link(send)).await;
        }
        Ok(ask) => match desk.authority.request(&link, ask, reader.into_body()).await {
            Answer::Reply(reply) => reply,
            Answer::Follows(_) => ControllerReply::Refused(misplaced("nothing follows here")),
        },
        Err(error) if error.is_protocol() => {
            desk.refuse(connection.remote_address(), Refused::Protocol);
            reader.stop();
            ControllerReply::Refused(misplaced(&error.to_string()))
        }
        Err(_) => return,
    };
    let _gone = write_last(&mut send, &reply, TRANSFER).await;
}

/// A request with bytes, or one that is answered by bytes: in a lane of its own until the last of them.
pub(super) async fn transfer<A: MeshAuthority>(
    desk: &Desk<A>,
    link: &LinkHandle,
    ask: FromAgent,
    body: Body,
    mut send: Give,
) {
    let (_lane, answer) = match link.lane(&desk.road).await {
        Ok(lane) => {
            if matches!(send, Give::Link(_)) {
                lane.widen();
            }
            let body = body.idle(desk.limits.body_idle);
            (Some(lane), desk.authority.request(link, ask, body).await)
        }
        Err(refusal) => (None, ControllerReply::Refused(refusal).into()),
    };
    match answer {
        Answer::Reply(reply) => {
            let said = async {
                if send.say(&reply, TRANSFER).await.is_ok() {
                    send.finish().await;
                    send.taken().await;
                }
            };
            let _gone = timeout(TRANSFER, said).await;
        }
        Answer::Follows(flow) => {
            let head = ControllerReply::Follows { len: flow.len };
            if send.say(&head, TRANSFER).await.is_err() {
                return;
            }
            let pace = Pace::new(desk.limits.body_idle);
            if send_flow(&mut send, flow, pace).await == Err(BodyError::Stalled) {
                desk.refuse(link.remote(), Refused::TooSlow);
            }
        }
    }
}
