//! The Enforcer controller: boot decisions, their store, the sockets that serve them, the API and the command line.

mod archive;
pub mod arguments;
pub mod assets;
pub mod audit;
pub mod backup;
pub mod boot;
pub mod ca;
pub mod cli;
pub mod client;
pub mod config;
mod disk;
pub mod doctor;
pub mod federation;
pub mod fetch;
pub mod firmware;
mod hex;
pub mod http;
pub mod images;
pub mod leases;
pub mod management_os;
pub mod mesh;
pub mod metrics;
pub mod notify;
pub mod oidc;
mod ordered;
mod percent;
pub mod power;
pub mod providers;
pub mod serve;
pub mod state;
pub mod store;
pub mod support;
#[cfg(feature = "web")]
pub mod web;
