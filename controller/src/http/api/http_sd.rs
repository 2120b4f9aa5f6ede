//! Members as Prometheus finds what to scrape (<https://prometheus.io/docs/prometheus/latest/http_sd/>).

use std::{collections::BTreeMap, net::IpAddr};

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::search::{has_labels, labels};
use crate::{
    http::{
        Api,
        answer::Json,
        error::{Code, Problem},
        extract::Params,
        scope::Scope,
    },
    state::{
        View,
        machine::MachineId,
        member::{Member, MemberState},
        provider::ProviderMember,
    },
};

/// node_exporter's port.
const PORT: u16 = 9100;
/// How the names of our labels begin; Prometheus drops them unless its configuration keeps them.
const META: &str = "__meta_enforcer_";

/// A group of targets with the same labels; here each has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetGroup {
    /// `address:port`.
    pub targets: Vec<String>,
    /// `__meta_enforcer_machine`, `_machine_id`, `_site`, `_state`, `_role`, `_source`, and `_label_NAME` for each label of the machine.
    pub labels: BTreeMap<String, String>,
}

/// Which members, and where their exporters listen.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SdQuery {
    /// The port of what is scraped on each; 9100, node_exporter's, when it is not given.
    #[serde(default)]
    port: Option<u16>,
    /// Only machines whose labels fit: `pool=web`, `rack!=r1`, `!spare`; repeat it for more.
    #[serde(default)]
    #[param(value_type = Option<Vec<String>>, style = Form, explode)]
    label: Option<String>,
}

/// What a target is described by.
struct Seen<'v> {
    ip: IpAddr,
    name: String,
    machine: Option<&'v MachineId>,
    state: MemberState,
    role: String,
    source: String,
}

impl<'v> Seen<'v> {
    fn ours(member: &'v Member, view: &View) -> Self {
        let machine = view.machine(&member.machine);
        let helps = machine.is_some_and(|m| m.helper.is_some());
        let habitat = super::words::Habitat::from(member.habitat);
        Self {
            ip: member.address.ip().to_canonical(),
            name: view.machine_name(&member.machine),
            machine: Some(&member.machine),
            state: member.state,
            role: if helps { "helper" } else { habitat.word() }.to_owned(),
            source: "mesh".to_owned(),
        }
    }

    fn theirs(member: &'v ProviderMember, view: &View) -> Option<Self> {
        let known = member.machine.as_ref();
        Some(Self {
            ip: member.address?,
            name: known.map_or_else(|| member.node.to_string(), |id| view.machine_name(id)),
            machine: known,
            state: member.state,
            role: "member".to_owned(),
            source: member.source(),
        })
    }

    fn group(&self, port: u16, view: &View) -> TargetGroup {
        let target = match self.ip {
            IpAddr::V4(ip) => format!("{ip}:{port}"),
            IpAddr::V6(ip) => format!("[{ip}]:{port}"),
        };
        let site = view.policy.mesh.as_ref();
        let mut all = vec![
            ("machine".to_owned(), self.name.clone()),
            (
                "site".to_owned(),
                site.map_or_else(String::new, |mesh| mesh.site.clone()),
            ),
            ("state".to_owned(), self.state.word().to_owned()),
            ("role".to_owned(), self.role.clone()),
            ("source".to_owned(), self.source.clone()),
        ];
        if let Some(id) = self.machine {
            all.push(("machine_id".to_owned(), id.to_string()));
        }
        let machine = self.machine.and_then(|id| view.machine(id));
        for (name, value) in machine.iter().flat_map(|m| &m.labels) {
            let name = format!("label_{}", plain(&name.to_string()));
            all.push((name, value.to_string()));
        }
        TargetGroup {
            targets: vec![target],
            labels: all
                .into_iter()
                .map(|(name, value)| (format!("{META}{name}"), value))
                .collect(),
        }
    }
}

/// A label's name as Prometheus can have it.
fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.chars().map(plain).collect()
}

/// Lists members as targets for Prometheus, all at once: machines whose agents have a link, and members of providers.
///
/// Who said goodbye is left out; who is down is not, or nobody would be told.
#[utoipa::path(get, path = "/http_sd", tag = "members", operation_id = "http_sd", params(SdQuery),
    responses((status = 200, body = Vec<TargetGroup>)))]
pub(crate) async fn http_sd(
    State(api): State<Api>,
    scope: Scope,
    Params(query): Params<SdQuery>,
) -> Result<Json<Vec<TargetGroup>>, Problem> {
    let port = query.port.unwrap_or(PORT);
    if port == 0 {
        return Err(Problem::new(Code::BadValue, "port: 0 is none; 1 to 65535"));
    }
    let labels = labels(query.label.as_deref())?;
    let view = api.store.view();
    let fits = |seen: &Seen<'_>| {
        let labelled = |id: &MachineId| has_labels(labels.as_ref(), id, &view);
        let fits = labels.is_none() || seen.machine.is_some_and(labelled);
        seen.state != MemberState::Left && fits && scope.reaches(seen.machine, &view)
    };
    let ours = view.members().map(|m| Seen::ours(m, &view));
    let theirs = view
        .provider_members()
        .filter_map(|m| Seen::theirs(m, &view));
    let all = ours.chain(theirs).filter(fits);
    Ok(Json(all.map(|seen| seen.group(port, &view)).collect()))
}
