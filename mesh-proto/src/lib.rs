//! Pure core of the mesh: bytes, values and `now` come in, values go out. `mesh-net` drives it.

pub mod broadcast;
pub mod codec;
pub mod facts;
pub mod frame;
pub mod identity;
pub mod json;
pub mod membership;
pub mod message;
pub mod pairing;
pub mod seal;
pub mod wan;
