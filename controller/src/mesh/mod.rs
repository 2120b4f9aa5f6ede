//! The controller in the mesh.

pub mod life;
pub mod logs;
