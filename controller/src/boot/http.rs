//! Boot HTTP asks: the general script, files, evidence, callbacks, pixiecore's question.

use std::net::{IpAddr, SocketAddr};

use ipxe::{BootPlan, ConfigBoot, KernelBoot, MacAddr};
use ipxe_net::{BootFile, CallbackReply, HttpAuthority, NonceAsk, NonceReceived, NonceReply};
use serde_json::json;

use super::{Desk, base_url, lock};
use crate::{
    metrics,
    state::{
        activation::{Activation, Nonce},
        boot::{BootRequest, Claim, Decision},
        config::Asset,
        ops::{BeginFetch, Callback, CallbackAnswer, FetchAnswer, FileSent},
        template::{Scope, TemplateError},
    },
    store::StoreError,
};

impl HttpAuthority for Desk {
    fn general_script(&self, at: SocketAddr) -> String {
        ipxe::general_script(&base_url(at), &format!("{:016x}", rand::random::<u64>()))
    }

    async fn http_file(&self, path: &str) -> Option<BootFile> {
        self.public_file(path)
    }

    async fn nonce_file(&self, ask: NonceAsk) -> NonceReply {
        let at = ask.at;
        match self.nonce_answer(ask).await {
            Ok((answer, brought)) => self.reply(answer, brought, at),
            Err(error) => {
                tracing::error!(%error, "a boot file could not be claimed");
                NonceReply::Unavailable
            }
        }
    }

    async fn nonce_received(&self, file: NonceReceived) {
        // When it cannot be written down the machine has the file all the same: it will be served again.
        let _as_logged = self.received(file).await;
    }

    async fn callback(&self, nonce: String, failure: Option<String>) -> CallbackReply {
        let Ok(nonce) = nonce.parse() else {
            return CallbackReply::Unknown;
        };
        match self.store.apply(Callback { nonce, failure }).await {
            Ok(CallbackAnswer::Closed | CallbackAnswer::Ignored) => CallbackReply::Taken,
            Ok(CallbackAnswer::Unknown) => CallbackReply::Unknown,
            Err(_) => CallbackReply::Unavailable,
        }
    }

    fn pixiecore(&self, mac: MacAddr, at: SocketAddr) -> Option<String> {
        let base = base_url(at);
        let request = BootRequest {
            mac,
            arch: None,
            session: None,
            after_management: false,
            base: base.clone(),
            known_address: None,
            controller: None,
            peers: Default::default(),
        };
        let decision = self.peek(&request);
        if self.is_guarded(&decision) {
            return None;
        }
        let answer = match &decision.plan {
            BootPlan::Config(ConfigBoot::Kernel(kernel)) | BootPlan::Management(kernel) => {
                pixiecore_kernel(kernel, &base)
            }
            BootPlan::Config(ConfigBoot::Script(script)) => {
                json!({ "ipxe-script": format!("#!ipxe\n{script}") })
            }
            BootPlan::LocalDisk(_) | BootPlan::AskPeers | BootPlan::Silent => return None,
        };
        self.told(mac, &decision, "", None, None);
        Some(answer.to_string())
    }

    fn metrics(&self) -> String {
        metrics::render(&self.metrics, &self.store)
    }
}

/// pixiecore's API (README.api.md): URLs without iPXE variables, which pixiecore does not expand.
fn pixiecore_kernel(kernel: &KernelBoot, base: &str) -> serde_json::Value {
    let url = |path: &str| {
        format!(
            "{base}{}",
            path.split_once('?').map_or(path, |(path, _)| path)
        )
    };
    let initrds: Vec<String> = kernel.initrds.iter().map(|i| url(&i.path)).collect();
    json!({ "kernel": url(&kernel.kernel.path), "initrd": initrds, "cmdline": kernel.cmdline })
}

impl Desk {
    /// What an activation's file is, once the claim is durable; with the file itself when another site has it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) async fn nonce_answer(
        &self,
        ask: NonceAsk,
    ) -> Result<(FetchAnswer, Option<BootFile>), StoreError> {
        let Ok(nonce) = ask.nonce.parse::<Nonce>() else {
            return Ok((FetchAnswer::Unknown, None));
        };
        let asker = ask.from.ip().to_canonical();
        let asked = nonce.clone();
        let begin = BeginFetch {
            is_its_address: self.is_address_of(&nonce, asker),
            nonce,
            name: ask.name,
            session: ask.session,
            asker,
        };
        if ask.peek {
            use crate::state::Transition as _;
            return Ok((begin.run(&self.store.view(), self.store.now()).1, None));
        }
        let answer = self.store.apply(begin).await?;
        let brought = match &answer {
            FetchAnswer::Asset(asset, _) => self.bring(&asked, asset).await,
            _ => None,
        };
        Ok((answer, brought))
    }

    /// Takes in what a machine has received. Says whether that is durable.
    pub(super) async fn received(&self, file: NonceReceived) -> bool {
        if !lock(&self.received).add(&file) {
            return true;
        }
        let Ok(nonce) = file.nonce.parse() else {
            return true;
        };
        let sent = FileSent {
            nonce,
            name: file.name,
            session: file.session,
        };
        let written = self.store.apply(sent).await;
        if let Err(error) = &written {
            tracing::error!(%error, "a received boot file could not be recorded");
        }
        written.is_ok()
    }

    /// Whether DHCP knows the address as one of the machine's that this nonce is for. Only asked where it matters.
    fn is_address_of(&self, nonce: &Nonce, asker: IpAddr) -> bool {
        let view = self.store.view();
        let activation = view.activation_by_nonce(nonce);
        let guarded = activation.filter(|a| a.config.level.is_some());
        let machine = guarded.and_then(|a| view.machine(&a.machine));
        let mut macs = machine.iter().flat_map(|m| &m.macs);
        macs.any(|mac| self.known_address(*mac, asker).is_some())
    }

    /// Whether it is a config that demands a proved key: pixiecore does not say who asks it.
    fn is_guarded(&self, decision: &Decision) -> bool {
        match decision.claim {
            Some(Claim::Activation(id)) => {
                let view = self.store.view();
                view.activation(id)
                    .is_some_and(|a| a.config.level.is_some())
            }
            // What is only looked at names files that are not there.
            Some(Claim::DiscoveryConfig) => true,
            _ => false,
        }
    }

    /// A peer's file, if it is one: here, or on its way here.
    async fn bring(&self, nonce: &Nonce, asset: &Asset) -> Option<BootFile> {
        let view = self.store.view();
        let taken = view
            .activation_by_nonce(nonce)
            .filter(|a| a.taken.is_some());
        let opened = self.federation.get()?.open(taken?, asset).await;
        opened
            .inspect_err(|error| {
                tracing::warn!(file = %asset.name, %error, "a peer's file could not be brought here");
            })
            .ok()
    }

    pub(super) fn reply(
        &self,
        answer: FetchAnswer,
        brought: Option<BootFile>,
        at: SocketAddr,
    ) -> NonceReply {
        match answer {
            FetchAnswer::Asset(asset, session) => match brought.or_else(|| self.asset(&asset)) {
                Some(file) => NonceReply::File { file, session },
                None => {
                    tracing::error!(file = %asset.name, sha256 = ?asset.sha256, "a boot file is missing from the asset folder");
                    NonceReply::Unknown
                }
            },
            FetchAnswer::Answer(activation, template) => {
                let text =
                    self.filled_in(&activation, at, |scope| activation.fill(&template, scope));
                text.map_or(NonceReply::Unknown, NonceReply::Text)
            }
            FetchAnswer::Overlay(activation, overlay) => {
                let answers = &activation.config.answers;
                let data = self.filled_in(&activation, at, |scope| {
                    overlay.pack(|name| activation.fill(answers.get(name).map_or("", |a| a), scope))
                });
                data.map_or(NonceReply::Unknown, |d| NonceReply::Data(d.into()))
            }
            FetchAnswer::Noted => NonceReply::Text("ok\n".to_owned()),
            FetchAnswer::Over(reason) => NonceReply::Gone(reason),
            FetchAnswer::Refused(why) => NonceReply::Refused(why),
            FetchAnswer::Unknown => NonceReply::Unknown,
        }
    }

    /// What `fill` makes for the activation's machine; `None` when that cannot be done.
    fn filled_in<T>(
        &self,
        activation: &Activation,
        at: SocketAddr,
        fill: impl FnOnce(&Scope<'_>) -> Result<T, TemplateError>,
    ) -> Option<T> {
        let view = self.store.view();
        let machine = view.machine(&activation.machine)?;
        let facts = view.facts(&machine.id);
        let scope = Scope {
            machine,
            facts: facts.map(|f| &f.facts),
            base: &base_url(at),
            nonce: &activation.nonce,
        };
        let filled = fill(&scope);
        filled
            .inspect_err(|error| {
                tracing::error!(config = %activation.config.name, %error, "an answer file cannot be filled in");
            })
            .ok()
    }
}
