//! A controller without DHCP's sockets: a store with a clock that tests turn, the desk behind boot HTTP, the API.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared by test programs, which may panic"
)]

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use axum::body::Body;
use enforcer::{
    assets::AssetFolder,
    boot::Desk,
    config::Rechain,
    firmware::FirmwareSet,
    http::{
        Api,
        auth::{Caller, Role},
        router,
    },
    metrics::Metrics,
    state::{
        Transition, View,
        activation::{Activation, Kind, Nonce},
        boot::{BootRequest, Decision},
        config::{Asset, BootConfig, Evidence, Program},
        machine::{Machine, MachineId},
        ops::{Activate, MachineRef, RegisterMachine, SetConfig},
        policy::{ManagementOs, Policy},
    },
    store::{ManualClock, Redb, Store},
};
use http_body_util::BodyExt as _;
use ipxe::{Arch, MacAddr};
use ipxe_net::{BootHttp, TftpServer};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// See the module.
pub(crate) struct Site {
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
    pub(crate) desk: Arc<Desk>,
    pub(crate) http: SocketAddr,
    api: Api,
    stop: CancellationToken,
    pub(crate) state: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new(policy: Policy) -> Self {
        let state = tempfile::tempdir().unwrap();
        let clock = ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
        let backend = Redb::open(state.path().join("enforcer.redb")).unwrap();
        let store = Store::open(backend, policy, clock.clone()).unwrap();
        let metrics = Arc::new(Metrics::default());
        let assets = state.path().join("assets");
        let desk = Arc::new(Desk::new(
            store.clone(),
            FirmwareSet::default(),
            metrics.clone(),
            assets,
            Rechain::Never,
        ));
        let stop = CancellationToken::new();
        let listener = BootHttp::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let http = listener.local_addr().unwrap();
        tokio::spawn(listener.run(desk.clone(), stop.clone()));
        let api = Api::new(
            store.clone(),
            AssetFolder::open(state.path()).unwrap(),
            metrics,
            &format!("http://{http}"),
            stop.clone(),
        );
        Self {
            store,
            clock,
            desk,
            http,
            api,
            stop,
            state,
        }
    }

    /// The desk's TFTP, on a port of its own.
    pub(crate) fn tftp(&self) -> SocketAddr {
        let server = TftpServer::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let at = server.local_addr().unwrap();
        tokio::spawn(server.run(self.desk.clone(), self.stop.clone()));
        at
    }

    pub(crate) fn firmware_folder(&self) -> PathBuf {
        self.state.path().join("firmware")
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.store.view()
    }

    pub(crate) async fn apply<T: Transition>(&self, transition: T) -> T::Outcome {
        self.store.apply(transition).await.unwrap()
    }

    pub(crate) async fn policy(&self, change: impl FnOnce(&mut Policy)) {
        let mut policy = Policy::clone(&self.view().policy);
        change(&mut policy);
        self.store.set_policy(policy).await.unwrap();
    }

    pub(crate) async fn register(&self, mac: MacAddr, name: &str) -> Machine {
        let name = Some(name.parse().unwrap());
        let fresh_id = MachineId::from_random(rand::random());
        let register = RegisterMachine {
            mac,
            name,
            fresh_id,
        };
        self.apply(register).await.unwrap()
    }

    pub(crate) async fn set(&self, config: BootConfig) -> BootConfig {
        self.apply(SetConfig(config)).await.unwrap()
    }

    pub(crate) async fn activate(&self, machine: &str, config: &str) -> Activation {
        let activate = Activate {
            machine: MachineRef(machine.to_owned()),
            config: config.parse().unwrap(),
            kind: Kind::OneShot,
            until: None,
            nonce: Nonce::from_random(rand::random()),
        };
        self.apply(activate).await.unwrap()
    }

    /// What boot HTTP answers to GET: status and text.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// The script that a machine gets in boot `session`.
    pub(crate) async fn script(&self, mac: MacAddr, session: &str) -> String {
        let path = format!(
            "/boot/{}?session={session}&arch=x86_64&platform=efi",
            mac.hyphens()
        );
        let (status, script) = self.get(&path).await;
        assert_eq!(status, 200);
        script
    }

    /// What the decision is, without a boot.
    pub(crate) fn peek(
        &self,
        mac: MacAddr,
        session: Option<&str>,
        after_management: bool,
    ) -> Decision {
        self.desk.peek(&BootRequest {
            mac,
            arch: Some(Arch::X64),
            session: session.map(Into::into),
            after_management,
            base: format!("http://{}", self.http),
            known_address: None,
            controller: None,
            peers: Default::default(),
        })
    }

    /// The same, whose API knows the mesh.
    pub(crate) fn with_mesh(mut self, mesh: &enforcer::mesh::Mesh) -> Self {
        self.api = self.api.clone().with_mesh(Some(mesh.clone()));
        self
    }

    /// The same, whose API knows the images.
    pub(crate) fn with_images(mut self, images: enforcer::images::Images) -> Self {
        self.api = self.api.clone().with_images(images);
        self
    }

    /// A live stream of the API, as it begins.
    pub(crate) async fn stream(&self, path: &str) -> axum::response::Response {
        self.answers("GET", path, Body::empty()).await
    }

    /// The same as [`Self::api`], for something new.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.asks("POST", path, Body::from(body.to_string())).await
    }

    /// What the API answers an operator.
    pub(crate) async fn api(&self, path: &str) -> (u16, Value) {
        self.asks("GET", path, Body::empty()).await
    }

    /// The same, for a change.
    pub(crate) async fn patch(&self, path: &str, body: &Value) -> (u16, Value) {
        self.asks("PATCH", path, Body::from(body.to_string())).await
    }

    pub(crate) async fn asks(&self, method: &str, path: &str, body: Body) -> (u16, Value) {
        let response = self.answers(method, path, body).await;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn answers(&self, method: &str, path: &str, body: Body) -> axum::response::Response {
        let mut request = axum::http::Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        request.extensions_mut().insert(Caller {
            name: "test".to_owned(),
            role: Role::Operator,
        });
        router(self.api.clone()).oneshot(request).await.unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An x86-64 management OS.
pub(crate) fn management() -> ManagementOs {
    ManagementOs {
        arch: Arch::X64,
        flavour: "generic".to_owned(),
        version: "6.1".to_owned(),
        path: "/assets/management-os/amd64-generic".to_owned(),
    }
}

pub(crate) fn kernel_config(name: &str, cmdline: &str) -> BootConfig {
    let asset = |name| Asset::kept(name, &"ab".repeat(32), 4);
    config(
        name,
        Program::Kernel {
            kernel: asset("vmlinuz"),
            initrds: vec![asset("first.img"), asset("second.img")],
            cmdline: cmdline.to_owned(),
        },
    )
}

pub(crate) fn ipxe_config(name: &str, script: &str) -> BootConfig {
    let script = script.to_owned();
    config(
        name,
        Program::Ipxe {
            script,
            files: Vec::new(),
        },
    )
}

fn config(name: &str, program: Program) -> BootConfig {
    let answers = std::collections::BTreeMap::new();
    BootConfig::new(name.parse().unwrap(), program, answers, Evidence::Callback)
}
