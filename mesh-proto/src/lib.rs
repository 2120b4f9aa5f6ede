//! Pure core of the mesh: bytes, values and `now` come in, values go out. `mesh-net` drives it.

pub mod facts;
pub mod frame;
pub mod identity;
pub mod message;
pub mod pairing;
