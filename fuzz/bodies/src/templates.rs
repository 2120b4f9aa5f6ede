//! Templates of boot configs: what a person writes, filled in with what a machine calls itself.

use enforcer::state::{
    Timestamp,
    activation::Nonce,
    machine::{Machine, MachineId},
    template::{MAX_RENDERED, Scope},
};

/// The input is what the machine calls itself, a line, and the template.
pub fn fuzz_templates(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (itself, template) = text.split_once('\n').unwrap_or(("", &text));
    let mac = ipxe::MacAddr([2, 0, 0, 0, 0, 1]);
    let mut machine = Machine::seen(MachineId::from_random(1), mac, Timestamp::UNIX_EPOCH);
    machine.serial = Some(itself.to_owned());
    let nonce = Nonce::from_random(1);
    let scope = Scope {
        machine: &machine,
        facts: None,
        base: "http://10.0.0.1:4880",
        nonce: &nonce,
    };
    if let Ok(filled) = scope.render(template) {
        assert!(filled.len() <= MAX_RENDERED);
    }
    let quoted = scope.render("{{ serial | json }}");
    let quoted = quoted.expect("JSON holds every text");
    assert!(!quoted.contains(char::is_control));
    // A shell takes no control characters; all others stay within the quotes.
    if let Ok(word) = scope.render("{{ serial | shell }}") {
        let inside = word.strip_prefix('\'').and_then(|w| w.strip_suffix('\''));
        let inside = inside.expect("it is quoted").replace(r"'\''", "");
        assert!(!inside.contains('\'') && !inside.contains('\n'));
    }
}
