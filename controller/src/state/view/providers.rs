//! The part of the view about members of providers.

use std::sync::Arc;

use imbl::{HashMap, OrdMap, OrdSet};

use super::View;
use crate::state::{
    machine::MachineId,
    provider::{NodeName, ProviderMember, ProviderName},
};

/// The maps; private to the view.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ProvidersView {
    members: OrdMap<ProviderName, OrdMap<NodeName, Arc<ProviderMember>>>,
    members_of: HashMap<MachineId, OrdSet<(ProviderName, NodeName)>>,
}

impl View {
    /// The providers that members are kept of.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderName> {
        self.providers.members.keys()
    }

    /// The members of all providers, by provider and name.
    pub fn provider_members(&self) -> impl Iterator<Item = &Arc<ProviderMember>> {
        let providers = self.providers.members.values();
        providers.flat_map(|members| members.values())
    }

    /// The members of one provider, by name.
    pub fn members_of_provider<'a>(
        &'a self,
        provider: &ProviderName,
    ) -> impl Iterator<Item = &'a Arc<ProviderMember>> + use<'a> {
        let members = self.providers.members.get(provider);
        members.into_iter().flat_map(|members| members.values())
    }

    /// How many members of one provider are kept.
    #[must_use]
    pub fn provider_count(&self, provider: &ProviderName) -> usize {
        let members = self.providers.members.get(provider);
        members.map_or(0, OrdMap::len)
    }

    /// A member of a provider.
    #[must_use]
    pub fn provider_member(
        &self,
        provider: &ProviderName,
        node: &NodeName,
    ) -> Option<&Arc<ProviderMember>> {
        self.providers.members.get(provider)?.get(node)
    }

    /// The members whose tags describe this machine.
    pub fn provider_members_of<'a>(
        &'a self,
        machine: &MachineId,
    ) -> impl Iterator<Item = &'a Arc<ProviderMember>> + use<'a> {
        let keys = self.providers.members_of.get(machine);
        let keys = keys.into_iter().flatten();
        keys.filter_map(|(provider, node)| self.provider_member(provider, node))
    }
}

impl ProvidersView {
    pub(super) fn insert(&mut self, member: Arc<ProviderMember>) {
        if let Some(machine) = &member.machine {
            let key = (member.provider.clone(), member.node.clone());
            let of = self.members_of.entry(machine.clone()).or_default();
            of.insert(key);
        }
        let members = self.members.entry(member.provider.clone()).or_default();
        members.insert(member.node.clone(), member);
    }

    pub(super) fn forget(&mut self, provider: &ProviderName, node: &NodeName) {
        let Some(members) = self.members.get_mut(provider) else {
            return;
        };
        let old = members.remove(node);
        if members.is_empty() {
            self.members.remove(provider);
        }
        let Some(machine) = old.and_then(|m| m.machine.clone()) else {
            return;
        };
        if let Some(of) = self.members_of.get_mut(&machine) {
            of.remove(&(provider.clone(), node.clone()));
            if of.is_empty() {
                self.members_of.remove(&machine);
            }
        }
    }
}
