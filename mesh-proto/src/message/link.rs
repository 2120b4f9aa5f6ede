//! The link between an agent and its controller (ALPN `enforcer/1`).
//!
//! The agent's first stream is the hello. Then either side opens a stream for each request.

mod members;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use self::members::{Entry, EntryState, Swap, SwapAnswer, Verdict, VerdictState};
use super::{
    Refusal,
    boot::{BootAnswer, BootAsk, Duty, HelperReport},
    command::Order,
    enrol::Level,
    job::{Ability, Job, JobEnd, JobProgress},
    ring::Ring,
};
use crate::{facts::HardwareFacts, identity::NodeId};

/// What an agent asks of a controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum FromAgent {
    /// The first request of every link.
    Hello(Box<Hello>),
    /// Here is what the machine is made of; answered [`ControllerReply::Ok`].
    Facts(Box<FactsReport>),
    /// Are our views of the members the same? Answered [`ControllerReply::Swap`].
    Swap(Swap),
    /// A certificate for this request, please; answered [`ControllerReply::Renewed`].
    Renew {
        /// PKCS#10 request, PEM.
        csr: String,
    },
    /// What became of a boot; answered [`ControllerReply::Ok`] when it is written down.
    Report(Report),
    /// Lines of this boot's log; answered [`ControllerReply::Ok`].
    Log(LogChunk),
    /// What the agent is doing now, for people; answered [`ControllerReply::Ok`].
    Status(Status),
    /// Is there something to be done to the disk? Answered [`ControllerReply::Job`].
    Job,
    /// How far a job is, at each new step and at most twice a second; answered [`ControllerReply::Ok`] once the step is
    /// written down, or refused when the job is no longer wanted.
    JobProgress(JobProgress),
    /// How a job ended; answered [`ControllerReply::Ok`] when it is written down.
    JobEnd(Box<JobEnd>),
    /// A part of an image, please; answered [`ControllerReply::Follows`] and the bytes themselves.
    Fetch(Fetch),
    /// Which of these chunks does the store lack? For a capture. Answered [`ControllerReply::Missing`].
    Have {
        /// The job.
        job: u64,
        /// The chunks' ids, 64 hex digits each; at most 1,024.
        ids: Vec<String>,
    },
    /// Chunks of a capture: as many parcels follow on the stream (docs/PROTOCOL.md), then it ends. Answered
    /// [`ControllerReply::Ok`] when the store has them.
    Put {
        /// The job.
        job: u64,
        /// How many parcels follow.
        parcels: u32,
    },
    /// A capture's manifest follows on the stream, so many bytes; answered [`ControllerReply::Saved`] when all its chunks
    /// are in the store and the version exists.
    Save {
        /// The job.
        job: u64,
        /// Bytes of the manifest.
        len: u64,
    },
    /// A helper asks in the name of a machine on its segment; answered [`ControllerReply::Boot`].
    Boot {
        /// What.
        ask: BootAsk,
    },
    /// The bytes of a boot file that an answer has named lately; answered [`ControllerReply::Follows`] and the bytes.
    BootFile {
        /// SHA-256, 64 hex digits.
        sha256: String,
    },
    /// How the helper is doing; answered [`ControllerReply::Ok`].
    Helper(HelperReport),
    /// The agent goes on purpose: not a failure.
    Bye {
        /// Why, for people.
        reason: String,
    },
}

/// What a controller answers an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum ControllerReply {
    /// To a hello.
    Welcome(Box<Welcome>),
    /// Done.
    Ok,
    /// To a swap.
    Swap(SwapAnswer),
    /// The new certificate.
    Renewed {
        /// PEM.
        certificate: String,
    },
    /// To a question for a job.
    Job {
        /// What to do; `None`: nothing now.
        job: Option<Box<Job>>,
        /// For the machine's screen: why nothing, what comes next.
        text: String,
    },
    /// To a fetch: the bytes follow this frame on the stream, to its end. For chunks: a parcel for each, in the order
    /// asked; for a manifest: its bytes.
    Follows {
        /// Bytes that follow, where it is known: a manifest's.
        #[serde(default)]
        len: Option<u64>,
    },
    /// Which of the chunks asked about are not there: their places in the question, from zero.
    Missing {
        /// Ascending.
        missing: Vec<u32>,
    },
    /// To a helper's question.
    Boot {
        /// The answer.
        answer: BootAnswer,
    },
    /// The capture is a version now.
    Saved {
        /// `name@version`.
        version: String,
    },
    /// No.
    Refused(Refusal),
}

/// A part of an image that an agent asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// The ticket's text, a blank, and its signature.
    pub ticket: String,
    /// What.
    #[serde(flatten)]
    pub want: Want,
}

/// The parts of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "want")]
pub enum Want {
    /// Its list of chunks.
    Manifest,
    /// These chunks.
    Chunks {
        /// Their ids, 64 hex digits each; at most 256.
        ids: Vec<String>,
    },
}

/// What a controller asks of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum ToAgent {
    /// Do this; answered by progress, then done or refused.
    Command(Order),
    /// Send the facts; answered [`AgentReply::Facts`].
    Facts,
    /// What the controller found out about members; answered [`AgentReply::Ok`].
    Verdicts {
        /// Each about one generation of one member.
        verdicts: Vec<Verdict>,
    },
    /// Use this key ring from now on; answered [`AgentReply::Ok`] when it is installed.
    Ring(Ring),
    /// There may be a job: ask for it, or for whether yours is still wanted; answered [`AgentReply::Ok`].
    Jobs,
    /// Serve boot on your segment from now on, or stop that; answered [`AgentReply::Ok`] when it is taken in. How it goes is
    /// told by [`FromAgent::Helper`].
    Helper {
        /// `None`: stop.
        duty: Option<Duty>,
    },
}

/// What an agent answers a controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum AgentReply {
    /// Not the last reply: how far it is.
    Progress {
        /// In words.
        text: String,
    },
    /// The last reply: it is done, or, for a reboot, about to be.
    Done {
        /// In words.
        text: String,
    },
    /// The facts.
    Facts(Box<FactsReport>),
    /// Taken.
    Ok,
    /// No, or it went wrong.
    Refused(Refusal),
}

/// Who an agent is in this boot. Its node id and kind of key stand in its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// `/proc/sys/kernel/random/boot_id`; commands are bound to it.
    pub boot_id: String,
    /// The agent's version.
    pub agent: String,
    /// What the agent runs in.
    pub habitat: Habitat,
    /// UDP port it gossips on; `None`: leaf mode, no gossip and no gossip key.
    pub gossip_port: Option<u16>,
    /// Digest of the facts it would send now ([`digest`](crate::facts::HardwareFacts::digest)).
    pub facts_digest: String,
    /// The last generation it was given, zero when it remembers none.
    pub last_generation: u32,
    /// What it can do that older agents cannot: jobs that need more are not given to it.
    #[serde(default)]
    pub abilities: Vec<Ability>,
}

/// What an agent runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Habitat {
    /// The management OS.
    ManagementOs,
    /// An installed operating system.
    InstalledOs,
}

/// What a controller tells an agent at the start of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The site's name.
    pub site: String,
    /// Who answers.
    pub controller: NodeId,
    /// The machine's name, for screens.
    pub name: String,
    /// How well the key counts as proved.
    pub level: Level,
    /// Whether the machine is accepted: only then is anything written to its disk.
    pub accepted: bool,
    /// The agent's incarnation in the mesh, higher at each hello.
    pub generation: u32,
    /// The agent's address as the controller sees it; with the gossip port it is what members are told.
    pub seen_as: SocketAddr,
    /// The gossip key ring; `None` in leaf mode.
    pub ring: Option<Ring>,
    /// Members to announce to first: the controllers' gossip addresses.
    pub seeds: Vec<Entry>,
    /// Where controllers listen for links; installed agents keep them.
    pub controllers: Vec<SocketAddr>,
    /// Seconds since 1970 by the controller's clock, for machines that have none.
    pub now_unix_s: i64,
    /// Serve boot on your segment; `None`: do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helper: Option<Duty>,
}

/// Facts with the digest they were announced by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactsReport {
    /// The boot they were read in.
    pub boot_id: String,
    /// What the machine is made of.
    pub facts: HardwareFacts,
}

/// The agent's word on a boot it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The activation's nonce.
    pub nonce: String,
    /// `None`: it came up; else what went wrong.
    #[serde(default)]
    pub failure: Option<String>,
}

/// Lines of a boot's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChunk {
    /// The boot they belong to.
    pub boot_id: String,
    /// Number of the first line in that boot; a chunk that comes twice is told by it.
    pub first: u64,
    /// The lines; at most [`MAX_LOG_LINES`] of at most [`MAX_LOG_LINE_BYTES`].
    pub lines: Vec<LogLine>,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Milliseconds since the machine's kernel started.
    pub uptime_ms: u64,
    /// Who wrote it: `agent`, `kernel`, a job's step.
    pub source: String,
    /// The text, without control characters.
    pub text: String,
}

/// Lines in one chunk: a screenful, so that a person sees them as they come.
pub const MAX_LOG_LINES: usize = 256;
/// Longest line that is kept, bytes; what is longer is cut.
pub const MAX_LOG_LINE_BYTES: usize = 1024;

/// What the agent is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// In a few words, as on the machine's screen.
    pub stage: String,
    /// The last thing that went wrong, if it still matters.
    #[serde(default)]
    pub error: Option<String>,
}
