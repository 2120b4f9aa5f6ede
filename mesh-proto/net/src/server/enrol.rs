//! One enrolment: commit, challenge, reveal, then the authority's word; see [`mesh_proto::message::enrol`].

use std::{
    sync::Arc,
    time::{Duration, Instant as StdInstant},
};

use mesh_proto::{
    message::{
        Refusal, RefusalCode,
        enrol::{Enrol, FromEnroller, ToEnroller},
    },
    pairing::{self, Nonce, Transcript},
};
use quinn::{Connection, SendStream};
use tokio::{sync::oneshot, time::timeout};

use super::{Desk, Slot, link::blame};
use crate::{
    authority::{EnrolAnswer, EnrolAsk, EnrolOutcome, MeshAuthority, Refused},
    cert::{hex, unhex},
    close::CloseCode,
    keys::Csr,
    stream::{Reader, StreamError, write, write_last},
    tls::EXPORTER,
};

/// Time for an answer to be taken.
const ANSWER: Duration = Duration::from_secs(10);

/// Why an enrolment does not come as far as the authority.
enum Fault {
    Stream(StreamError),
    Refused(Refused, Refusal),
    TooOften,
}

impl From<StreamError> for Fault {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

fn fault(why: Refused, text: impl Into<String>) -> Fault {
    Fault::Refused(why, Refusal::new(RefusalCode::Protocol, text))
}

pub(super) async fn serve<A: MeshAuthority>(
    desk: &Arc<Desk<A>>,
    connection: Connection,
    slot: Slot,
) {
    let from = connection.remote_address();
    let too_often = |text| desk.dismiss(&connection, Refused::EnrolQuota, CloseCode::Busy, text);
    if !desk.quotas.admit_address(from.ip(), StdInstant::now()) {
        return too_often("too many enrolments from this address; try again in a minute");
    }
    let opened = timeout(desk.limits.patience, connection.accept_bi()).await;
    let Ok(Ok((mut send, recv))) = opened else {
        return desk.dismiss(
            &connection,
            Refused::TooSlow,
            CloseCode::TooSlow,
            "no request came",
        );
    };
    let mut reader = Reader::early(recv);
    match pair(desk, &connection, &mut reader, &mut send).await {
        Ok(ask) => {
            let answer = desk.authority.enrol(ask).await;
            drop(slot);
            conclude(desk, &connection, send, answer).await;
        }
        Err(Fault::Refused(why, refusal)) => {
            desk.refuse(from, why);
            end(&connection, send, FromEnroller::Refused(refusal)).await;
        }
        Err(Fault::TooOften) => {
            too_often("too many enrolments of this machine; try again in a minute");
        }
        Err(Fault::Stream(error)) => {
            let (why, code) = blame(&error);
            desk.dismiss(&connection, why, code, &error.to_string());
        }
    }
}

/// Everything up to the pairing code.
async fn pair<A: MeshAuthority>(
    desk: &Desk<A>,
    connection: &Connection,
    reader: &mut Reader,
    send: &mut SendStream,
) -> Result<EnrolAsk, Fault> {
    let patience = desk.limits.patience;
    let ToEnroller::Enrol(enrol) = reader.expect(patience).await? else {
        return Err(fault(
            Refused::Protocol,
            "an enrolment starts with its request",
        ));
    };
    let from = connection.remote_address();
    if !desk
        .quotas
        .admit_machine(from.ip(), &enrol, StdInstant::now())
    {
        return Err(Fault::TooOften);
    }
    let csr = Csr::from_pem(&enrol.csr).map_err(|e| fault(Refused::Csr, e.to_string()))?;
    let ours: Nonce = rand::random();
    write(
        send,
        &FromEnroller::Challenge { nonce: hex(&ours) },
        patience,
    )
    .await?;
    let ToEnroller::Reveal { nonce } = reader.expect(patience).await? else {
        return Err(fault(
            Refused::Protocol,
            "the challenge is answered by revealing the nonce",
        ));
    };
    let theirs = opened(&enrol, &nonce, &csr)?;
    let transcript = Transcript {
        agent_spki: &csr.spki,
        ca_sha256: &desk.identity().ca_sha256(),
        agent: &theirs,
        controller: &ours,
    };
    let code = pairing::code(&transcript);
    let exporter = exporter(connection)?;
    Ok(EnrolAsk {
        enrol: *enrol,
        csr,
        code,
        from,
        exporter,
    })
}

fn opened(enrol: &Enrol, nonce: &str, csr: &Csr) -> Result<Nonce, Fault> {
    let theirs = unhex::<16>(nonce);
    let fits = |nonce: &Nonce| unhex(&enrol.commit) == Some(pairing::commitment(nonce, &csr.spki));
    theirs.filter(fits).ok_or_else(|| {
        fault(
            Refused::Commitment,
            "the nonce is not the one that was committed to",
        )
    })
}

fn exporter(connection: &Connection) -> Result<[u8; 32], Fault> {
    let mut out = [0; 32];
    let exported = connection.export_keying_material(&mut out, EXPORTER, b"");
    exported
        .map(|()| out)
        .map_err(|_| fault(Refused::Tls, "this TLS session exports no keys"))
}

async fn conclude<A: MeshAuthority>(
    desk: &Desk<A>,
    connection: &Connection,
    send: SendStream,
    answer: EnrolAnswer,
) {
    match answer {
        EnrolAnswer::Issued(issued) => end(connection, send, FromEnroller::Issued(issued)).await,
        EnrolAnswer::Refused(refusal) => {
            end(connection, send, FromEnroller::Refused(refusal)).await;
        }
        EnrolAnswer::Pending { text, decided } => pend(desk, connection, send, text, decided).await,
    }
}

/// Waits for a person, as long as the agent does.
async fn pend<A: MeshAuthority>(
    desk: &Desk<A>,
    connection: &Connection,
    mut send: SendStream,
    text: String,
    decided: oneshot::Receiver<EnrolOutcome>,
) {
    let (place, crowded_out) = desk.pending.enter(connection, desk.epoch);
    if let Some(other) = crowded_out {
        desk.dismiss(
            &other,
            Refused::PendingFull,
            CloseCode::Busy,
            "too many machines wait; try again later",
        );
    }
    let told = write(&mut send, &FromEnroller::Pending { text }, ANSWER).await;
    if told.is_ok() {
        tokio::select! {
            // Dropping `decided` on the way out is how the authority learns that nobody waits any more.
            _ = connection.closed() => {}
            outcome = decided => end(connection, send, word(outcome.ok())).await,
        }
    }
    desk.pending.leave(place);
}

fn word(outcome: Option<EnrolOutcome>) -> FromEnroller {
    match outcome {
        Some(Ok(issued)) => FromEnroller::Issued(issued),
        Some(Err(refusal)) => FromEnroller::Refused(refusal),
        None => FromEnroller::Refused(Refusal::new(
            RefusalCode::Busy,
            "nobody decides just now; try again later",
        )),
    }
}

async fn end(connection: &Connection, mut send: SendStream, last: FromEnroller) {
    let _gone = write_last(&mut send, &last, ANSWER).await;
    connection.close(CloseCode::Done.to_wire(), b"enrolment is over");
}
