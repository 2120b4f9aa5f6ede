//! The second agent, in Python (`tests/peers`), written from docs/PROTOCOL.md: that the document is enough, and what the
//! controller makes of agents that do not keep to it.

mod machine;
mod process;

use serde_json::{Value, json};

use super::controller::Controller;
use machine::Machine;
use process::Foreign;

const BOOT: &str = "0b4f3f9e-1111-4222-8333-944444444455";
const NEXT_BOOT: &str = "0b4f3f9e-1111-4222-8333-944444444456";

fn token(c: &Controller) -> String {
    let made = c.json(&["join-tokens", "create"]);
    made["token"].as_str().unwrap().to_owned()
}

fn member(c: &Controller) -> Value {
    let listed = c.json(&["members", "list"]);
    listed[0].clone()
}

#[test]
fn a_second_agent_enrols_tells_its_facts_is_rebooted_and_leaves() {
    let (c, machine) = (Controller::start(), Machine::new());
    let mut agent = machine.agent(c.links, BOOT, Some(&token(&c)));
    agent.says("enrolled");
    let welcome = agent.is_welcome();
    assert_eq!(
        (&welcome["level"], &welcome["accepted"], &welcome["ring"]),
        (&"T2".into(), &true.into(), &Value::Null)
    );
    let name = welcome["name"].as_str().unwrap();
    assert_eq!(agent.says("asked")["kind"], "facts");
    c.until(&["machines", "list"], |v| !v[0]["hardware"].is_null());
    let known = c.json(&["machines", "facts", name]);
    assert_eq!(known["facts"], machine.facts);
    let shown = c.json(&["machines", "show", name]);
    let smbios = &machine.facts["smbios"];
    assert_eq!(
        (&shown["serial"], &shown["uuid"]),
        (&smbios["serial"], &smbios["uuid"])
    );
    assert_eq!(member(&c)["state"], "alive");

    let (good, _, told) = c.ask(&["machines", "reboot", name, "-w"]);
    assert!(
        good && told.contains("reboot done: restarting now"),
        "{told}"
    );
    let order = agent.says("asked");
    assert_eq!(
        (&order["command"]["do"], &order["boot_id"]),
        (&"reboot".into(), &BOOT.into())
    );
    assert_eq!(agent.says("bye")["kind"], "ok");
    assert!(agent.succeeds());
    let left = member(&c);
    assert_eq!(
        (&left["state"], &left["why"]),
        (&"left".into(), &"restarting".into())
    );
}

#[test]
fn it_comes_back_with_its_certificate_and_its_digest_is_the_controllers() {
    let c = Controller::start();
    let machine = Machine::enrolled(&c);
    let mut agent = machine.agent(c.links, NEXT_BOOT, None);
    let welcome = agent.is_welcome();
    assert_eq!(welcome["generation"], 2);
    let name = welcome["name"].as_str().unwrap();
    let (good, _, told) = c.ask(&["machines", "inventory", name, "-w"]);
    assert!(good, "{told}");
    let asked = agent.says("asked");
    assert_eq!(
        asked["kind"], "command",
        "facts of a known digest are not asked for"
    );
    assert_eq!(member(&c)["boot_id"], NEXT_BOOT);
    let known = c.json(&["machines", "facts", name]);
    assert_eq!(
        (&known["facts"], &known["boot_id"]),
        (&machine.facts, &NEXT_BOOT.into())
    );
}

#[test]
fn its_key_is_rotated_and_the_old_one_ends_with_the_first_use_of_the_new() {
    let c = Controller::start();
    let machine = Machine::enrolled(&c);
    let old = std::fs::read(machine.folder.path().join("key.pem")).unwrap();
    let mut agent = machine.agent(c.links, BOOT, None);
    let name = agent.is_welcome()["name"].as_str().unwrap().to_owned();
    let (good, _, told) = c.ask(&["machines", "rotate-keys", &name, "-w"]);
    assert!(good && told.contains("a new key is certified"), "{told}");
    assert!(agent.succeeds());
    assert_ne!(
        std::fs::read(machine.folder.path().join("key.pem")).unwrap(),
        old
    );
    let mut again = machine.agent(c.links, BOOT, None);
    assert_eq!(again.is_welcome()["generation"], 3);
}

#[test]
fn without_a_token_a_person_compares_its_code() {
    let (c, machine) = (Controller::start(), Machine::new());
    let mut agent = machine.agent(c.links, BOOT, None);
    let code = agent.says("code");
    assert!(
        agent
            .says("pending")
            .as_str()
            .unwrap()
            .contains("machines accept")
    );
    let listed = c.json(&["machines", "list"]);
    let name = listed[0]["name"].as_str().unwrap();
    c.told(&["machines", "accept", name, "--code", code.as_str().unwrap()]);
    agent.says("enrolled");
    assert_eq!(agent.is_welcome()["level"], "T2");
}

#[test]
fn it_gives_its_token_to_no_other_ca_and_talks_to_no_other_controller() {
    let (c, machine) = (Controller::start(), Machine::new());
    let token = token(&c);
    let (rest, ca) = token.rsplit_once('-').unwrap();
    let other: String = ca.chars().rev().collect();
    let mut agent = machine.agent(c.links, BOOT, Some(&format!("{rest}-{other}")));
    assert!(agent.says("distrusted").is_array());
    assert!(!agent.succeeds());
    let mut agent = machine.agent(c.links, BOOT, Some(&token));
    agent.says("enrolled");
    assert!(agent.succeeds(), "the token was not used up");

    let impostor = Controller::start();
    let mut agent = machine.agent(impostor.links, BOOT, None);
    assert!(agent.says("distrusted").is_array());
    assert_eq!(impostor.json(&["members", "list"]), json!([]));
}

#[test]
fn what_breaks_the_protocol_is_refused_as_documented_and_changes_nothing() {
    let c = Controller::start();
    let machine = Machine::enrolled(&c);
    let (folder, address) = (machine.folder(), c.links.to_string());
    let before = (c.json(&["machines", "list"]), member(&c));
    // By the table of close codes; from 0x100 on they are TLS alerts (RFC 9001 §4.8): decrypt_error, no_application_protocol.
    let ended = [
        ("speaks_another_version", 2),
        ("speaks_no_json", 2),
        ("sends_a_long_frame_before_its_hello", 2),
        ("enrols_in_another_version", 2),
        ("enrols_with_a_long_frame", 2),
        ("shows_no_certificate", 3),
        ("shows_a_forged_certificate", 0x100 + 51),
        ("shows_anothers_certificate", 0x100 + 51),
        ("speaks_another_protocol", 0x100 + 120),
    ];
    let mut words = vec![folder.as_str(), &address];
    words.extend(ended.iter().map(|(deed, _)| *deed));
    words.push("begins_without_a_hello");
    let mut vandal = Foreign::start("misbehaving.py", &words);
    for (deed, code) in ended {
        let told = vandal.next();
        assert_eq!(
            (&told["deed"], &told["ended"][0]),
            (&deed.into(), &code.into()),
            "{told}"
        );
    }
    assert_eq!(vandal.next()["refused"][0], "protocol");
    assert_eq!((c.json(&["machines", "list"]), member(&c)), before);

    assert!(vandal.succeeds());
}

#[test]
fn a_link_outlives_requests_that_break_the_protocol() {
    let c = Controller::start();
    let machine = Machine::enrolled(&c);
    let (folder, address) = (machine.folder(), c.links.to_string());
    let mut vandal = Foreign::start("misbehaving.py", &[&folder, &address, "errs_on_a_link"]);
    let told = vandal.says("survived");
    let refusals = told[0].as_array().unwrap();
    assert_eq!(refusals.len(), 6);
    for refusal in refusals {
        assert_eq!(refusal[0], "protocol", "{refusal}");
    }
    let too_long = refusals[0][1].as_str().unwrap();
    assert!(too_long.contains("at most 1048576 are taken"), "{too_long}");
    assert_eq!(told[1]["kind"], "ok");
    assert!(vandal.succeeds());
}
