//! Claims about what is seen from outside: targets, names that dashboards can count on, few series; boots beside each other.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use http_body_util::BodyExt as _;
use ipxe::MacAddr;
use serde_json::Value;

use super::Site;
use crate::{
    http::{api::meta::MESH_FAMILIES, auth::Role},
    metrics::{Counter, MAX_LABELS},
    state::{
        Changes, Timestamp, Transition, View, Write,
        event::Draft,
        machine::{Machine, MachineId, Standing},
    },
    store::records,
};

/// One record of each kind about a machine, and many machines.
struct Populate;

impl Transition for Populate {
    type Outcome = ();

    fn run(&self, _view: &View, now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        for n in 0..200_u8 {
            let id = MachineId::from_random(n.into());
            let mut machine = Machine::seen(id, MacAddr([2, 0, 0, 0, 1, n]), now);
            machine.uuid = Some(format!("4c4c4544-0000-2010-8020-80c04f2020{n:02x}"));
            if n == 1 {
                machine.standing = Standing::Accepted;
                machine.labels = [("rack-no".parse().unwrap(), "r7".parse().unwrap())].into();
            }
            changes.write(machine);
        }
        let about = MachineId::from_random(1);
        let all = records::all(&about, now).into_iter().map(Write::Put);
        changes.writes.extend(all);
        (changes, ())
    }
}

async fn populated() -> Site {
    let site = Site::new();
    let mac = serde_json::json!({"mac": "52-54-00-77-00-01", "name": "web1"});
    let config = serde_json::json!({"program": {"type": "ipxe", "script": "#!ipxe\necho\n"}, "evidence": "callback"});
    let due = serde_json::json!({"machine": "web1", "kind": "one-shot"});
    for (method, path, body) in [
        ("POST", "/api/v1/machines", mac),
        ("PUT", "/api/v1/boot-configs/live", config),
        ("POST", "/api/v1/boot-configs/live/activate", due),
    ] {
        let (status, told) = site.json(method, path, body).await;
        assert!(status.is_success(), "{path}: {told}");
    }
    site.api.store.apply(Populate).await.unwrap();
    for counter in Counter::ALL {
        site.api.metrics.count(counter, "word");
    }
    site
}

/// The samples: name, labels.
async fn samples(site: &Site) -> Vec<(String, BTreeMap<String, String>)> {
    let response = site
        .ask(Some(Role::Viewer), "GET", "/metrics", Body::empty())
        .await;
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let sample = |line: &str| {
        let (name, rest) = line.split_once('{').unwrap();
        let labels = rest.split_once('}').unwrap().0.split("\",").map(|pair| {
            let (name, value) = pair.split_once("=\"").unwrap();
            (name.to_owned(), value.trim_end_matches('"').to_owned())
        });
        (name.to_owned(), labels.collect())
    };
    text.lines()
        .filter(|l| !l.starts_with('#'))
        .map(sample)
        .collect()
}

/// The names of our metrics in an expression.
fn names(expression: &str) -> Vec<&str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("enforcer_")).collect()
}

/// Every value of `key` anywhere in a document.
fn values<'a>(document: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match document {
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|value| values(value, key, found));
        }
        Value::Array(items) => items.iter().for_each(|item| values(item, key, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_dashboard_asks_for_metrics_and_labels_that_there_are() {
    let site = populated().await;
    let samples = samples(&site).await;
    let mut known: BTreeSet<&str> = samples.iter().map(|(name, _)| name.as_str()).collect();
    known.extend(MESH_FAMILIES);
    let dashboard: Value = serde_json::from_str(include_str!(
        "../../../../docs/examples/grafana-dashboard.json"
    ))
    .unwrap();
    let mut expressions = Vec::new();
    values(&dashboard, "expr", &mut expressions);
    assert!(expressions.len() >= 10, "{expressions:?}");
    for expression in expressions {
        let names = names(expression);
        assert!(!names.is_empty(), "{expression}");
        for name in names {
            assert!(known.contains(name), "/metrics has no {name}: {expression}");
        }
        // `sum by (x)` and `{x="…"}` name labels of the metric.
        let by = expression
            .split_once("by (")
            .map(|(_, rest)| rest.split_once(')').unwrap().0);
        let within = expression
            .split_once('{')
            .map(|(_, rest)| rest.split_once('=').unwrap().0);
        for label in by
            .into_iter()
            .chain(within)
            .map(|l| l.trim_end_matches(['!', '~']))
        {
            let of = |(name, labels): &&(String, BTreeMap<_, _>)| {
                expression.contains(name.as_str()) && labels.contains_key(label)
            };
            let in_mesh = MESH_FAMILIES.iter().any(|name| expression.contains(name));
            // Prometheus adds it.
            let added = label == "job";
            assert!(
                added || in_mesh || samples.iter().any(|s| of(&s)),
                "{label}: {expression}"
            );
        }
    }
}

#[tokio::test]
async fn no_series_is_about_one_machine() {
    let site = populated().await;
    let samples = samples(&site).await;
    let mut series = BTreeMap::<&str, usize>::new();
    for (name, labels) in &samples {
        *series.entry(name).or_default() += 1;
        assert_eq!(labels.len(), 1, "{name}: one word says what is counted");
        for (label, value) in labels {
            let is_address = value.parse::<std::net::IpAddr>().is_ok();
            let is_mac = value.parse::<MacAddr>().is_ok();
            let is_long = value.len() > 40 || value.matches('-').count() > 3;
            assert!(
                !is_address && !is_mac && !is_long,
                "{name}: {label}={value}"
            );
        }
    }
    assert!(series.len() >= 20, "{series:?}");
    let machines = samples
        .iter()
        .filter(|(name, _)| name == "enforcer_machines");
    assert!(machines.count() <= 3, "by standing, not by machine");
    assert!(series.values().all(|n| *n <= MAX_LABELS), "{series:?}");
}

#[tokio::test]
async fn members_are_targets_with_what_is_known_of_their_machines() {
    let site = populated().await;
    let ask = async |query: &str| {
        let path = format!("/api/v1/http_sd{query}");
        site.as_caller(
            ("token/prometheus:root", Role::Viewer),
            "GET",
            &path,
            Value::Null,
        )
        .await
    };
    let (status, groups) = ask("").await;
    assert_eq!(status, 200);
    let view = site.api.store.view();
    let member = view.members().next().unwrap();
    let name = view.machine_name(&member.machine);
    let groups = groups.as_array().unwrap().clone();
    let of_mesh = |g: &&Value| g["labels"]["__meta_enforcer_source"] == "mesh";
    let ours = groups.iter().find(of_mesh).unwrap();
    let ip = member.address.ip();
    assert_eq!(ours["targets"], serde_json::json!([format!("{ip}:9100")]));
    for (label, value) in [
        ("machine", name.as_str()),
        ("machine_id", &member.machine.to_string()),
        ("state", member.state.word()),
        ("label_rack_no", "r7"),
    ] {
        assert_eq!(
            ours["labels"][format!("__meta_enforcer_{label}")],
            value,
            "{label}"
        );
    }
    let at = ask("?port=9400").await.1[0]["targets"][0].clone();
    assert!(at.as_str().unwrap().ends_with(":9400"), "{at}");
    let count = async |query: &str| ask(query).await.1.as_array().unwrap().len();
    assert_eq!(count("?label=rack-no%3Dr7").await, groups.len());
    assert_eq!(count("?label=rack-no%3Dr8").await, 0);
    assert_eq!(ask("?port=0").await.0, 422);
}

/// So many boots of the one machine.
struct Boots(usize);

impl Transition for Boots {
    type Outcome = ();

    fn run(&self, view: &View, _now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        let machine = view.machines().next().unwrap();
        let kinds = [
            "boot.firmware-offered",
            "boot.script-offered",
            "boot.told",
            "member.joined",
        ];
        for boot in 0..self.0 {
            for (step, kind) in kinds.iter().enumerate() {
                let text = format!("{boot} {step}");
                changes.event(
                    Draft::new(kind, text)
                        .machine(&machine.id)
                        .field("plan", "management-os"),
                );
            }
        }
        (changes, ())
    }
}

#[tokio::test]
async fn boots_are_listed_newest_first_with_their_steps() {
    let site = Site::new();
    let body = serde_json::json!({"mac": "52-54-00-77-00-01", "name": "web1"});
    assert_eq!(site.json("POST", "/api/v1/machines", body).await.0, 200);
    site.api.store.apply(Boots(3)).await.unwrap();
    let ask = async |query: &str| {
        let path = format!("/api/v1/machines/web1/boots{query}");
        site.json("GET", &path, Value::Null).await
    };
    let (status, all) = ask("").await;
    assert_eq!(status, 200, "{all}");
    let boots = all["items"].as_array().unwrap();
    assert_eq!(boots.len(), 3);
    let first = |boot: &Value| boot["steps"][0]["text"].clone();
    assert_eq!([first(&boots[0]), first(&boots[2])], ["2 0", "0 0"]);
    assert_eq!(boots[0]["steps"].as_array().unwrap().len(), 4);
    assert_eq!(boots[0]["compared"]["boots"], 2);
    assert!(boots[1]["compared"].is_null(), "one before it is no habit");
    let newest = ask("?limit=1").await.1;
    assert_eq!(newest["items"], serde_json::json!([boots[0]]));
}
