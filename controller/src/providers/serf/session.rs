//! One conversation with a Serf agent, without its socket: what to send, and what the bytes that come mean.
//!
//! Requests have a number, and an answer names the one that it belongs to; whether a body follows its head depends on the request. So the
//! session remembers what it asked.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    message::{
        Auth, Event, Handshake, Head, MemberList, Members, Query, QueryRecord, RequestHead, Stream,
        read,
    },
    scan::{BadValue, Values},
};

/// Which events we want.
const EVENTS: &str = "member-join,member-leave,member-failed,member-update,member-reap";
/// The version of the protocol.
const VERSION: u32 = 1;
/// Longest word of an agent that is repeated to people, characters.
const MAX_WORDS: usize = 200;

/// What cannot be a Serf agent's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Garbled {
    /// More than is taken.
    #[error("it sent a message that is too long")]
    TooLong,
    /// Not what Serf writes.
    #[error("what it sent is no answer of a Serf agent")]
    NotSerf,
    /// Not what Consul writes.
    #[error("what it sent is no answer of Consul")]
    NotConsul,
}

impl From<BadValue> for Garbled {
    fn from(bad: BadValue) -> Self {
        match bad {
            BadValue::TooLong => Self::TooLong,
            BadValue::NotMessagePack => Self::NotSerf,
        }
    }
}

/// What the agent told.
#[derive(Debug)]
pub enum Told {
    /// It takes our version, or our key.
    Welcome,
    /// It will send events.
    Streams,
    /// All members it knows.
    All(MemberList),
    /// Members that changed.
    Changed(MemberList),
    /// Members that it forgot for good.
    Reaped(MemberList),
    /// It sends our query out.
    Asking,
    /// This member has the query.
    Acknowledged(String),
    /// The query's time is over.
    QueryOver,
    /// It refused what we asked for, in its words.
    Refused(Request, String),
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Agree on the version: always first.
    Handshake,
    /// Show the key.
    Auth,
    /// Send events from now on.
    Stream,
    /// List the members.
    Members,
    /// Ask a member something.
    Query,
}

impl Request {
    fn command(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Auth => "auth",
            Self::Stream => "stream",
            Self::Members => "members",
            Self::Query => "query",
        }
    }
}

/// What is to come for a request.
#[derive(Debug, Clone, Copy)]
struct Awaited {
    request: Request,
    /// Its first answer was good; records follow.
    flows: bool,
}

/// One conversation.
#[derive(Debug, Default)]
pub struct Session {
    values: Values,
    next: u64,
    awaited: BTreeMap<u64, Awaited>,
    /// A head came, and its body is next.
    head: Option<Awaited>,
}

impl Session {
    /// The first words.
    pub fn handshake(&mut self) -> Vec<u8> {
        self.request(Request::Handshake, Some(&Handshake { version: VERSION }))
    }

    /// Shows the key.
    pub fn auth(&mut self, key: &str) -> Vec<u8> {
        self.request(Request::Auth, Some(&Auth { key }))
    }

    /// Wants member events.
    pub fn stream(&mut self) -> Vec<u8> {
        self.request(Request::Stream, Some(&Stream { events: EVENTS }))
    }

    /// Wants all members.
    pub fn members(&mut self) -> Vec<u8> {
        self.request(Request::Members, None::<&()>)
    }

    /// Asks one member, and wants to hear that it has the question.
    pub fn query(&mut self, node: &str, name: &str, timeout: std::time::Duration) -> Vec<u8> {
        let query = Query {
            nodes: [node],
            ack: true,
            timeout: u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX),
            name,
        };
        self.request(Request::Query, Some(&query))
    }

    fn request(&mut self, request: Request, body: Option<&impl Serialize>) -> Vec<u8> {
        self.next += 1;
        let awaited = Awaited {
            request,
            flows: false,
        };
        self.awaited.insert(self.next, awaited);
        let head = RequestHead {
            command: request.command(),
            seq: self.next,
        };
        let mut bytes = written(&head);
        bytes.extend(body.map(written).unwrap_or_default());
        bytes
    }

    /// Takes in what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.values.push(bytes);
    }

    /// The next thing told; `None`: more bytes have to come.
    ///
    /// # Errors
    /// When this is no Serf agent; the session is over then.
    pub fn next_told(&mut self) -> Result<Option<Told>, Garbled> {
        while let Some(value) = self.values.next_value()? {
            let told = match self.head.take() {
                Some(awaited) => body(awaited.request, &value)?,
                None => self.take_head(&value)?,
            };
            if told.is_some() {
                return Ok(told);
            }
        }
        Ok(None)
    }

    fn take_head(&mut self, value: &[u8]) -> Result<Option<Told>, Garbled> {
        let head: Head = read(value).ok_or(Garbled::NotSerf)?;
        let awaited = *self.awaited.get(&head.seq).ok_or(Garbled::NotSerf)?;
        if !head.error.0.is_empty() {
            self.awaited.remove(&head.seq);
            let words = clean(&head.error.0);
            return Ok(Some(Told::Refused(awaited.request, words)));
        }
        match awaited.request {
            Request::Handshake | Request::Auth => {
                self.awaited.remove(&head.seq);
                return Ok(Some(Told::Welcome));
            }
            Request::Members => {
                self.awaited.remove(&head.seq);
            }
            Request::Stream | Request::Query if !awaited.flows => {
                let flows = Awaited {
                    flows: true,
                    ..awaited
                };
                self.awaited.insert(head.seq, flows);
                return Ok(Some(match awaited.request {
                    Request::Stream => Told::Streams,
                    _ => Told::Asking,
                }));
            }
            Request::Stream | Request::Query => {}
        }
        self.head = Some(awaited);
        Ok(None)
    }
}

/// The body behind a head. `None`: it tells nothing.
fn body(request: Request, value: &[u8]) -> Result<Option<Told>, Garbled> {
    let members = || {
        read::<Members>(value)
            .ok_or(Garbled::NotSerf)
            .map(|m| m.members)
    };
    match request {
        Request::Members => members().map(|list| Some(Told::All(list))),
        Request::Stream => {
            let event: Event = read(value).ok_or(Garbled::NotSerf)?;
            match event.event.0.as_str() {
                "member-reap" => members().map(|list| Some(Told::Reaped(list))),
                kind if kind.starts_with("member-") => {
                    members().map(|list| Some(Told::Changed(list)))
                }
                _ => Ok(None),
            }
        }
        Request::Query => {
            let record: QueryRecord = read(value).ok_or(Garbled::NotSerf)?;
            Ok(match record.kind.0.as_str() {
                "ack" => Some(Told::Acknowledged(record.from.0)),
                "done" => Some(Told::QueryOver),
                _ => None,
            })
        }
        Request::Handshake | Request::Auth => Err(Garbled::NotSerf),
    }
}

fn written(message: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(message).expect("our own messages are maps of texts and numbers")
}

/// An agent's words, cut and cleaned for people's eyes.
fn clean(words: &str) -> String {
    let plain = words.chars().filter(|c| !c.is_control());
    plain.take(MAX_WORDS).collect()
}

#[cfg(test)]
mod tests;
