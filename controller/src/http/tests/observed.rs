//! Claims about what is seen from outside: targets.

use ipxe::MacAddr;
use serde_json::Value;

use super::Site;
use crate::{
    http::auth::Role,
    state::{
        Changes, Timestamp, Transition, View, Write,
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
    site
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
