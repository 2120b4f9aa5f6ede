//! The part of the view about images, deployments, rollouts and setups.

use std::sync::Arc;

use ::image::ChunkId;
use imbl::HashMap;

use super::{
    View,
    rows::{Index, Rows, UNRANKED, Under},
};
use crate::state::{
    Key, Record,
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
    images: Rows,
    setups: Rows,
    rollouts: Rows,
    deployments: Rows,
    deployments_of: Index,
    open: Index,
    /// The one that has the machine; there is never a second.
    active: HashMap<MachineId, DeploymentId>,
    waiting: Index,
    by_nonce: HashMap<Nonce, DeploymentId>,
}

impl View {
    /// All images, by name.
    pub fn images(&self) -> impl Iterator<Item = &Arc<Image>> {
        self.jobs.images.all()
    }

    /// An image by name.
    #[must_use]
    pub fn image(&self, name: &ImageName) -> Option<&Arc<Image>> {
        self.jobs.images.get(&Key::Image(name.clone()))
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
        self.jobs.setups.all()
    }

    /// A setup by name.
    #[must_use]
    pub fn setup(&self, name: &SetupName) -> Option<&Arc<Setup>> {
        self.jobs.setups.get(&Key::Setup(name.clone()))
    }

    /// All rollouts that are kept, oldest first.
    pub fn rollouts(&self) -> impl DoubleEndedIterator<Item = &Arc<Rollout>> {
        self.jobs.rollouts.all()
    }

    /// A rollout by number.
    #[must_use]
    pub fn rollout(&self, id: RolloutId) -> Option<&Arc<Rollout>> {
        self.jobs.rollouts.get(&Key::Rollout(id))
    }

    /// The number of the next rollout.
    #[must_use]
    pub fn next_rollout(&self) -> RolloutId {
        let newest = self.rollouts().next_back();
        RolloutId(newest.map_or(1, |r| r.id.0 + 1))
    }

    /// All deployments that are kept, oldest first.
    pub fn deployments(&self) -> impl DoubleEndedIterator<Item = &Arc<Deployment>> {
        self.jobs.deployments.all()
    }

    /// A deployment by number.
    #[must_use]
    pub fn deployment(&self, id: DeploymentId) -> Option<&Arc<Deployment>> {
        self.jobs.deployments.get(&Key::Deployment(id))
    }

    /// A deployment by nonce.
    #[must_use]
    pub fn deployment_by_nonce(&self, nonce: &Nonce) -> Option<&Arc<Deployment>> {
        self.deployment(*self.jobs.by_nonce.get(nonce)?)
    }

    /// The deployments of a machine, oldest first.
    pub fn deployments_of<'a>(
        &'a self,
        machine: &MachineId,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<Deployment>> + use<'a> {
        self.listed(&self.jobs.deployments_of, Under::Machine(machine.clone()))
    }

    /// The deployments that are not over, oldest first.
    pub fn open_deployments(&self) -> impl Iterator<Item = &Arc<Deployment>> {
        self.listed(&self.jobs.open, Under::All)
    }

    /// The deployments that wait for a machine, in the order of its queue.
    pub fn queue_of<'a>(
        &'a self,
        machine: &MachineId,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<Deployment>> + use<'a> {
        self.listed(&self.jobs.waiting, Under::Machine(machine.clone()))
    }

    fn listed<'a>(
        &'a self,
        index: &'a Index,
        under: Under,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<Deployment>> + use<'a> {
        let keys = index.list(under);
        keys.filter_map(|key| self.jobs.deployments.get(key))
    }

    /// The deployment that has the machine.
    #[must_use]
    pub fn active_deployment(&self, machine: &MachineId) -> Option<&Arc<Deployment>> {
        self.deployment(*self.jobs.active.get(machine)?)
    }

    /// The number of the next deployment.
    #[must_use]
    pub fn next_deployment(&self) -> DeploymentId {
        let newest = self.deployments().next_back();
        DeploymentId(newest.map_or(1, |d| d.id.0 + 1))
    }
}

impl JobsView {
    pub(super) fn put_image(&mut self, image: Record) {
        self.images.put(image);
    }

    pub(super) fn forget_image(&mut self, key: &Key) {
        self.images.remove(key);
    }

    pub(super) fn put_rollout(&mut self, rollout: Record) {
        self.rollouts.put(rollout);
    }

    pub(super) fn forget_rollout(&mut self, key: &Key) {
        self.rollouts.remove(key);
    }

    pub(super) fn put_setup(&mut self, setup: Record) {
        self.setups.put(setup);
    }

    pub(super) fn forget_setup(&mut self, key: &Key) {
        self.setups.remove(key);
    }

    pub(super) fn insert(&mut self, d: Arc<Deployment>) {
        let (machine, id) = (d.machine.clone(), d.id);
        let (of, key) = (Under::Machine(machine.clone()), Key::Deployment(id));
        match d.phase() {
            Phase::Waiting => {
                let place = d.place.into();
                self.waiting.insert(of.clone(), place, key.clone());
            }
            Phase::AtWork | Phase::Starting => {
                self.active.insert(machine, id);
            }
            Phase::Over => {}
        }
        if d.is_open() {
            self.open.insert(Under::All, UNRANKED, key.clone());
        }
        self.deployments_of.insert(of, UNRANKED, key);
        self.by_nonce.insert(d.nonce.clone(), id);
        self.deployments.put(Record::Deployment(d));
    }

    pub(super) fn forget(&mut self, id: DeploymentId) {
        let key = Key::Deployment(id);
        let Some(Record::Deployment(d)) = self.deployments.remove(&key) else {
            return;
        };
        let of = || Under::Machine(d.machine.clone());
        self.waiting.remove(of(), d.place.into(), key.clone());
        if self.active.get(&d.machine) == Some(&id) {
            self.active.remove(&d.machine);
        }
        self.open.remove(Under::All, UNRANKED, key.clone());
        self.deployments_of.remove(of(), UNRANKED, key);
        self.by_nonce.remove(&d.nonce);
    }
}
