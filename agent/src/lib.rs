//! The Enforcer agent: it reads what a machine is made of and is the one program of the management OS.

pub mod cmdline;
pub mod facts;
pub mod management;
