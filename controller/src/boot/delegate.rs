//! What helpers may answer while we are away, and what they tell of it.

use std::collections::BTreeMap;

use ipxe::{Firmware, MacAddr};
use ipxe_net::BootFile;
use mesh_proto::{
    identity::NodeId,
    message::{boot::Served, delegation::Delegation},
};

use super::{Desk, Through, lock};
use crate::{
    ordered::Gather as _,
    state::{
        machine::MachineId,
        ops::{Delegate, HeardBy, TakeServed},
    },
    store::{StoreError, Subject},
};

impl Desk {
    /// The delegation for a helper, as of now; what is its alone by it is durably so.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn delegate(&self, helper: &Through) -> Result<Delegation, StoreError> {
        let delegate = Delegate {
            helper: MachineId::from(helper.node),
            programs: self.programs_by_firmware(),
        };
        let delegation = self.store.apply(delegate).await?;
        // It fetches these next.
        for file in delegation.files() {
            let path = self.assets.join("files").join(&file.sha256);
            if let Ok(opened) = BootFile::open(&path) {
                lock(&self.named).hold(&file.sha256, &opened);
            }
        }
        Ok(delegation)
    }

    /// A helper tells of a boot. Says whether the activation is still to be served.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn served_through(
        &self,
        served: Served,
        helper: &Through,
    ) -> Result<bool, StoreError> {
        let Ok(nonce) = served.nonce.parse() else {
            return Ok(false);
        };
        let take = TakeServed {
            helper: MachineId::from(helper.node),
            nonce,
            session: served.session,
            fetched: served.fetched,
        };
        self.store.apply(take).await
    }

    /// A helper hears this station: remembered, if it is news.
    pub(super) fn heard_by(&self, mac: MacAddr, node: NodeId) {
        let view = self.store.view();
        let helper = MachineId::from(node);
        let is_news = |known: &std::sync::Arc<_>| {
            let known: &crate::state::machine::Machine = known;
            known.standing.is_ours() && !known.heard_by.contains(&helper)
        };
        if view.machine_by_mac(mac).is_some_and(is_news) {
            let about = Subject::Heard(mac, helper.clone());
            self.store.note_change(about, HeardBy { mac, helper });
        }
    }

    fn programs_by_firmware(&self) -> BTreeMap<String, String> {
        let firmware = self.firmware.load();
        // The codes of RFC 4578 and its successors are below this.
        let kinds = (0..64).filter_map(Firmware::from_arch_code);
        let program = |f: Firmware| Some((f.describe(), firmware.program(f)?.to_owned()));
        kinds.filter_map(program).gather()
    }
}
