//! The mesh as `enforcer serve` starts it.

use std::sync::Arc;

use super::{StartError, threads::Threads};
use crate::{
    boot::Desk,
    ca::Ca,
    config::Config,
    mesh::{Bound, KnownAs, MeshConfig, MeshStartError},
    state::{policy::MeshPolicy, trust::Digest},
    store::Store,
};

/// The site's authority, unless the mesh is off.
pub(super) fn open_ca(config: &Config) -> Result<Option<Ca>, StartError> {
    let ca = config.mesh.then(|| Ca::open(&config.state, &config.site));
    Ok(ca.transpose()?)
}

/// What booting machines are told of the mesh.
pub(super) fn policy(config: &Config, ca: &Ca) -> MeshPolicy {
    MeshPolicy {
        site: ca.site().to_owned(),
        ca_sha256: Digest(ca.sha256()),
        port: config.mesh_port,
    }
}

/// The ports, bound, and the threads that they belong to.
pub(super) fn bind(config: &Config, ca: Ca, store: &Store) -> Result<(Bound, Threads), StartError> {
    let threads = Threads::start().map_err(StartError::Thread)?;
    let mesh = MeshConfig {
        state: config.state.clone(),
        listen: config.listen,
        port: config.mesh_port,
        gossip_port: config.gossip_port,
    };
    let bound = threads.hold(|| Bound::bind(&mesh, ca, store));
    let bound = bound.map_err(|error| match error {
        MeshStartError::Port { what, at, source } => StartError::Port { what, at, source },
        other => StartError::Mesh(other),
    })?;
    Ok((bound, threads))
}

/// What DHCP knows about addresses.
pub(super) fn known_as(desk: &Arc<Desk>) -> KnownAs {
    let desk = Arc::clone(desk);
    Arc::new(move |ip| desk.station_at(ip))
}
