//! The part of the view about images, deployments, rollouts and setups.

use std::sync::Arc;

use ::image::ChunkId;
use imbl::{HashMap, OrdMap, OrdSet};

use super::View;
use crate::state::{
    activation::Nonce,
    deployment::{Deployment, DeploymentId, Phase},
    image::{Image, ImageName, ImageSpec, Version, VersionId},
    machine::MachineId,
    rollout::{Rollout, RolloutId},
    setup::{Setup, SetupName},
};

/// The maps; private to the view.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct JobsView {
    images: OrdMap<ImageName, Arc<Image>>,
    setups: OrdMap<SetupName, Arc<Setup>>,
    rollouts: OrdMap<RolloutId, Arc<Rollout>>,
    deployments: OrdMap<DeploymentId, Arc<Deployment>>,
    deployments_of: OrdSet<(MachineId, DeploymentId)>,
    open: OrdSet<DeploymentId>,
    /// The one that has the machine; there is never a second.
    active: HashMap<MachineId, DeploymentId>,
    waiting: OrdSet<(MachineId, i64, DeploymentId)>,
    by_nonce: HashMap<Nonce, DeploymentId>,
    by_key: HashMap<String, DeploymentId>,
}

impl View {
    /// All images, by name.
    pub fn images(&self) -> impl Iterator<Item = &Arc<Image>> {
        self.jobs.images.values()
    }

    /// An image by name.
    #[must_use]
    pub fn image(&self, name: &ImageName) -> Option<&Arc<Image>> {
        self.jobs.images.get(name)
    }

    /// The version that a person names.
    #[must_use]
    pub fn image_version(&self, spec: &ImageSpec) -> Option<(&Arc<Image>, &Version)> {
        let image = self.image(&spec.image)?;
        Some((image, image.version(spec.number)?))
    }

    /// A version by its name.
    #[must_use]
    pub fn version(&self, id: &VersionId) -> Option<&Version> {
        self.image(&id.image)?.version(Some(id.number))
    }

    /// Digests of all manifests that must be kept, with the chunks in them.
    pub fn image_roots(&self) -> impl Iterator<Item = ChunkId> {
        let versions = self.images().flat_map(|image| &image.versions);
        versions.map(|version| version.content.manifest)
    }

    /// All setups, by name.
    pub fn setups(&self) -> impl Iterator<Item = &Arc<Setup>> {
        self.jobs.setups.values()
    }

    /// A setup by name.
    #[must_use]
    pub fn setup(&self, name: &SetupName) -> Option<&Arc<Setup>> {
        self.jobs.setups.get(name)
    }

    /// All rollouts that are kept, oldest first.
    pub fn rollouts(&self) -> impl DoubleEndedIterator<Item = &Arc<Rollout>> {
        self.jobs.rollouts.values()
    }

    /// A rollout by number.
    #[must_use]
    pub fn rollout(&self, id: RolloutId) -> Option<&Arc<Rollout>> {
        self.jobs.rollouts.get(&id)
    }

    /// The number of the next rollout.
    #[must_use]
    pub fn next_rollout(&self) -> RolloutId {
        RolloutId(self.jobs.rollouts.get_max().map_or(1, |(id, _)| id.0 + 1))
    }

    /// All deployments that are kept, oldest first.
    pub fn deployments(&self) -> impl DoubleEndedIterator<Item = &Arc<Deployment>> {
        self.jobs.deployments.values()
    }

    /// A deployment by number.
    #[must_use]
    pub fn deployment(&self, id: DeploymentId) -> Option<&Arc<Deployment>> {
        self.jobs.deployments.get(&id)
    }

    /// A deployment by nonce.
    #[must_use]
    pub fn deployment_by_nonce(&self, nonce: &Nonce) -> Option<&Arc<Deployment>> {
        self.deployment(*self.jobs.by_nonce.get(nonce)?)
    }

    /// The deployment that was asked for with this name.
    #[must_use]
    pub fn deployment_by_key(&self, key: &str) -> Option<&Arc<Deployment>> {
        self.deployment(*self.jobs.by_key.get(key)?)
    }

    /// The deployments of a machine, oldest first.
    pub fn deployments_of<'a>(
        &'a self,
        machine: &MachineId,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<Deployment>> + use<'a> {
        let (start, end) = (DeploymentId(0), DeploymentId(u64::MAX));
        self.jobs
            .deployments_of
            .range((machine.clone(), start)..=(machine.clone(), end))
            .filter_map(|(_, id)| self.jobs.deployments.get(id))
    }

    /// The deployments that are not over, oldest first.
    pub fn open_deployments(&self) -> impl Iterator<Item = &Arc<Deployment>> {
        let open = self.jobs.open.iter();
        open.filter_map(|id| self.jobs.deployments.get(id))
    }

    /// The deployments that wait for a machine, in the order of its queue.
    pub fn queue_of<'a>(
        &'a self,
        machine: &MachineId,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<Deployment>> + use<'a> {
        let start = (machine.clone(), i64::MIN, DeploymentId(0));
        let end = (machine.clone(), i64::MAX, DeploymentId(u64::MAX));
        self.jobs
            .waiting
            .range(start..=end)
            .filter_map(|(.., id)| self.jobs.deployments.get(id))
    }

    /// The deployment that has the machine.
    #[must_use]
    pub fn active_deployment(&self, machine: &MachineId) -> Option<&Arc<Deployment>> {
        self.deployment(*self.jobs.active.get(machine)?)
    }

    /// The number of the next deployment.
    #[must_use]
    pub fn next_deployment(&self) -> DeploymentId {
        let newest = self.jobs.deployments.get_max();
        DeploymentId(newest.map_or(1, |(id, _)| id.0 + 1))
    }
}

impl JobsView {
    pub(super) fn insert_image(&mut self, i: Arc<Image>) {
        self.images.insert(i.name.clone(), i);
    }

    pub(super) fn forget_image(&mut self, name: &ImageName) {
        self.images.remove(name);
    }

    pub(super) fn insert_rollout(&mut self, r: Arc<Rollout>) {
        self.rollouts.insert(r.id, r);
    }

    pub(super) fn forget_rollout(&mut self, id: RolloutId) {
        self.rollouts.remove(&id);
    }

    pub(super) fn insert_setup(&mut self, s: Arc<Setup>) {
        self.setups.insert(s.name.clone(), s);
    }

    pub(super) fn forget_setup(&mut self, name: &SetupName) {
        self.setups.remove(name);
    }

    pub(super) fn insert(&mut self, d: Arc<Deployment>) {
        let (machine, id) = (d.machine.clone(), d.id);
        match d.phase() {
            Phase::Waiting => {
                self.waiting.insert((machine.clone(), d.place, id));
            }
            Phase::AtWork | Phase::Starting => {
                self.active.insert(machine.clone(), id);
            }
            Phase::Over => {}
        }
        if d.is_open() {
            self.open.insert(id);
        }
        self.deployments_of.insert((machine, id));
        self.by_nonce.insert(d.nonce.clone(), id);
        for key in &d.keys {
            self.by_key.insert(key.clone(), id);
        }
        self.deployments.insert(id, d);
    }

    pub(super) fn forget(&mut self, id: DeploymentId) {
        let Some(d) = self.deployments.remove(&id) else {
            return;
        };
        self.waiting.remove(&(d.machine.clone(), d.place, id));
        if self.active.get(&d.machine) == Some(&id) {
            self.active.remove(&d.machine);
        }
        self.open.remove(&id);
        self.deployments_of.remove(&(d.machine.clone(), id));
        self.by_nonce.remove(&d.nonce);
        for key in &d.keys {
            if self.by_key.get(key) == Some(&id) {
                self.by_key.remove(key);
            }
        }
    }
}
