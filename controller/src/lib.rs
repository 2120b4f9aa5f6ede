//! The Enforcer controller.
