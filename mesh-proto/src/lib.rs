//! Pure core of the mesh.
