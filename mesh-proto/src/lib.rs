//! Pure core of the mesh.

pub mod facts;
