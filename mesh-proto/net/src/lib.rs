//! Driver around `mesh-proto`: the gossip socket and the QUIC links arrive with the mesh.
