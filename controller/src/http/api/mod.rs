//! The resources of `/api/v1`, a file each: its documents (what goes over the wire, also for the command line) and its
//! handlers, which parse, ask the store and answer.

pub mod activations;
pub mod audit;
pub mod boot_configs;
pub mod boots;
pub mod certificates;
pub mod clock;
pub mod commands;
pub mod database;
pub mod deployments;
pub mod events;
pub mod explain;
pub mod facts;
pub mod files;
pub mod heard_sites;
pub mod helpers;
pub mod holds;
pub mod http_sd;
pub mod image_pulls;
pub mod images;
pub mod join_tokens;
pub mod leases;
pub mod logs;
pub mod machines;
pub mod members;
pub(super) mod meta;
pub mod oidc;
mod page;
pub mod passwords;
pub mod peers;
pub mod power;
pub mod providers;
pub mod reader;
pub(super) mod refusals;
pub mod reservations;
pub mod rollouts;
mod search;
pub mod sessions;
pub mod setups;
pub mod tokens;
pub mod trust;
pub mod users;
pub mod webhooks;
pub mod words;

pub use page::{MAX_PAGE, Page};
use page::{PageQuery, by_number};
