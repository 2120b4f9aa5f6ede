//! The part of the view about members of providers.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    View,
    rows::{Index, Rows, UNRANKED, Under},
};
use crate::state::{
    Key, Record,
    machine::MachineId,
    provider::{NodeName, ProviderMember, ProviderName},
};

/// The maps; private to the view.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ProvidersView {
    /// A few; copied when one changes.
    members: Arc<BTreeMap<ProviderName, Rows>>,
    members_of: Index,
}

impl View {
    /// The providers that members are kept of.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderName> {
        self.providers.members.keys()
    }

    /// The members of all providers, by provider and name.
    pub fn provider_members(&self) -> impl Iterator<Item = &Arc<ProviderMember>> {
        self.providers.members.values().flat_map(Rows::all)
    }

    /// The members of one provider, by name.
    pub fn members_of_provider<'a>(
        &'a self,
        provider: &ProviderName,
    ) -> impl Iterator<Item = &'a Arc<ProviderMember>> + use<'a> {
        let members = self.providers.members.get(provider);
        members.into_iter().flat_map(Rows::all)
    }

    /// How many members of one provider are kept.
    #[must_use]
    pub fn provider_count(&self, provider: &ProviderName) -> usize {
        let members = self.providers.members.get(provider);
        members.map_or(0, Rows::len)
    }

    /// A member of a provider.
    #[must_use]
    pub fn provider_member(
        &self,
        provider: &ProviderName,
        node: &NodeName,
    ) -> Option<&Arc<ProviderMember>> {
        let key = Key::ProviderMember(provider.clone(), node.clone());
        self.member_at(&key)
    }

    /// The members whose tags describe this machine.
    pub fn provider_members_of<'a>(
        &'a self,
        machine: &MachineId,
    ) -> impl Iterator<Item = &'a Arc<ProviderMember>> + use<'a> {
        let of = Under::Machine(machine.clone());
        let keys = self.providers.members_of.list(of);
        keys.filter_map(|key| self.member_at(key))
    }

    fn member_at(&self, key: &Key) -> Option<&Arc<ProviderMember>> {
        let Key::ProviderMember(provider, _) = key else {
            return None;
        };
        self.providers.members.get(provider)?.get(key)
    }
}

impl ProvidersView {
    pub(super) fn insert(&mut self, member: &Arc<ProviderMember>) {
        let record = Record::ProviderMember(Arc::clone(member));
        if let Some(machine) = &member.machine {
            let of = Under::Machine(machine.clone());
            self.members_of.insert(of, UNRANKED, record.key());
        }
        let members = Arc::make_mut(&mut self.members);
        let of = members.entry(member.provider.clone()).or_default();
        of.put(record);
    }

    pub(super) fn forget(&mut self, provider: &ProviderName, key: &Key) {
        if !self.members.contains_key(provider) {
            return;
        }
        let members = Arc::make_mut(&mut self.members);
        let old = members.get_mut(provider).and_then(|of| of.remove(key));
        members.retain(|_, of| !of.is_empty());
        let Some(Record::ProviderMember(old)) = old else {
            return;
        };
        if let Some(machine) = &old.machine {
            let of = Under::Machine(machine.clone());
            self.members_of.remove(of, UNRANKED, key.clone());
        }
    }
}
