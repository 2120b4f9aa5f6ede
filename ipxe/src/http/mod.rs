//! Boot HTTP's requests as values: which thing a path asks for, which part of a file a `Range` wants.

mod range;
mod route;

pub use range::{Wanted, wanted};
pub use route::{MAX_VALUE, Route, ScriptQuery, parse};
