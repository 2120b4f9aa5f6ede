//! What came of a machine's last boot as far as peers had to do with it, for `explain`: a peer may offer now what came to nothing
//! when the machine asked, and only the events know why.

use ipxe::MacAddr;

use super::Why;
use crate::state::{View, event::Event};

const RULE: &str = "last-time";
/// Events looked at, the newest first: who asks has just seen the boot fail, and a busy site writes some in a second.
const LOOKED_AT: usize = 4_096;

/// Why the last boot with which peers had to do came to nothing; `None` when there was none, or when it came to its end.
#[must_use]
pub fn came_to_nothing(view: &View, mac: MacAddr) -> Option<Why> {
    let machine = view.machine_by_mac(mac).map(|m| &m.id);
    let about_it = |event: &Event| {
        let of_machine = machine.is_some() && event.draft.machine.as_ref() == machine;
        of_machine || event.draft.mac == Some(mac)
    };
    let mut newest = view.events_after(0).rev().take(LOOKED_AT);
    let last = newest.find(|e| about_it(e) && is_an_end(&e.draft.kind))?;
    let failed = last.draft.kind != CONFIRMED;
    failed.then(|| Why {
        rule: RULE,
        decided: false,
        found: format!(
            "{}: {}",
            last.at.strftime("%Y-%m-%d %H:%M:%S UTC"),
            last.draft.text
        ),
    })
}

const CONFIRMED: &str = "activation.confirmed";

fn is_an_end(kind: &str) -> bool {
    matches!(kind, "boot.peers-asked" | "peer.file-broken" | CONFIRMED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Record, event::Draft};

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    /// What is told after these events of the machine, and one of another.
    fn check(kinds: &[&str], expected: Option<&str>) {
        let mut view = View::default();
        let other = Draft::new("boot.peers-asked", "of another").mac(MacAddr([2, 0, 0, 0, 0, 9]));
        let own = kinds.iter().map(|kind| Draft::new(kind, *kind).mac(MAC));
        for (seq, draft) in (1..).zip(own.chain([other])) {
            let at = "2026-01-02T03:04:05Z".parse().unwrap();
            view.absorb(&Record::Event(Event { seq, at, draft }.into()).into());
        }
        let told = came_to_nothing(&view, MAC).map(|why| why.found);
        let expected = expected.map(|text| format!("2026-01-02 03:04:05 UTC: {text}"));
        assert_eq!(told, expected, "{kinds:?}");
    }

    #[test]
    fn the_newest_failure_is_told_and_none_that_a_success_has_followed() {
        check(&[], None);
        check(&["boot.asked", "machine.seen"], None);
        check(
            &["boot.peers-asked", "boot.asked"],
            Some("boot.peers-asked"),
        );
        check(
            &["boot.peers-asked", "peer.file-broken"],
            Some("peer.file-broken"),
        );
        check(&["peer.file-broken", "activation.confirmed"], None);
        check(
            &["activation.confirmed", "boot.peers-asked"],
            Some("boot.peers-asked"),
        );
    }
}
