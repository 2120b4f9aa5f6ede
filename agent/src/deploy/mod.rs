//! What an agent does to a disk: save it, empty it, write an image and the edits on top of it, read everything back.
//!
//! [`run()`] is the way in; [`work()`] asks for jobs, gives them to it and reports. The course of a job is pure; what it is done with are traits: the machine ([`Host`]), its disk
//! ([`Disk`]), who gave the job ([`Controller`]) and where chunks come from ([`ChunkSource`]). Everything blocks, on
//! threads of its own. Nothing is remembered beside the disk: an interrupted job is begun anew, and the disk itself shows
//! how far it came.

mod block;
mod boot_order;
mod capture;
mod compare;
mod controller;
mod course;
mod disk;
mod ends;
mod erase;
mod fault;
mod host;
mod kexec;
mod lanes;
mod layout;
mod link;
mod machine;
mod mark;
mod meter;
mod own;
mod parts;
mod patience;
mod run;
mod slice;
mod sources;
mod stale;
mod used;
mod verify;
mod work;
mod write;

pub use block::BlockDisk;
pub use controller::{Controller, Trouble};
pub use disk::{Disk, Geometry, Memory};
pub use fault::Fault;
pub use host::{Host, Part};
pub use kexec::{Kernel, Starter};
pub use link::LinkDesk;
pub use machine::ThisMachine;
pub use meter::Watcher;
pub use patience::Patience;
pub use run::{BUDGET_BYTES, Ended, Setup, run};
pub use sources::{ChunkSource, Request, Take};
pub use used::{Unused, file_system, parse_domain};
pub use work::{Way, Workplace, work};
