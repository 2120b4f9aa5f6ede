//! What Enforcer knows and how it changes: pure values and pure functions.
//!
//! A [`Transition`] looks at a [`View`] and says what to write; nothing here opens a file, a socket or a clock. The store
//! makes writes durable, the drivers make them visible.

pub mod activation;
pub mod answered;
pub mod api_token;
pub mod audit;
pub mod boot;
pub mod boots;
pub mod command;
pub mod config;
pub mod deployment;
pub mod event;
pub mod facts;
pub mod helper;
pub mod hold;
pub mod image;
pub mod label;
pub mod lease;
pub mod machine;
pub mod matching;
pub mod member;
pub mod name;
pub mod notify;
pub mod number;
pub mod ops;
pub mod overlay;
pub mod password;
pub mod peer;
pub mod policy;
pub mod power;
pub mod preset;
pub mod provider;
pub mod record;
pub mod revision;
pub mod rollout;
pub mod session;
pub mod setup;
pub mod shown;
pub mod template;
pub mod transition;
pub mod trust;
pub mod user;
pub mod view;

pub use jiff::Timestamp;
pub use record::{Key, Record, Write};
pub use transition::{Changes, Transition};
pub use view::View;
