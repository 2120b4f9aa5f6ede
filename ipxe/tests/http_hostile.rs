//! Boot HTTP's parsers among strangers: any path, query and range gives a route that stays inside its borders, or none.

use ipxe::{
    MacAddr,
    http::{MAX_VALUE, Route, Wanted, parse, wanted},
};
use proptest::prelude::*;

/// Text close to what the parser looks for, so that generated cases get deep.
fn pathlike() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("boot".to_owned()),
        Just("n".to_owned()),
        Just("firmware".to_owned()),
        Just("assets".to_owned()),
        Just("done".to_owned()),
        Just("52-54-00-77-00-01".to_owned()),
        Just("..".to_owned()),
        Just("%2e%2E".to_owned()),
        Just("a%2fb".to_owned()),
        Just("%00".to_owned()),
        Just("%".to_owned()),
        "[a-z0-9.%]{0,8}",
        any::<String>(),
    ];
    proptest::collection::vec(part, 0..6).prop_map(|parts| format!("/{}", parts.join("/")))
}

proptest! {
    #[test]
    fn a_file_route_never_leaves_its_folder(path in pathlike()) {
        if let Some(Route::File(file)) = parse(&path, None) {
            let mut parts = file.split('/');
            prop_assert!(matches!(parts.next(), Some("firmware" | "assets")));
            prop_assert!(parts.clone().next().is_some());
            prop_assert!(parts.all(|p| !p.is_empty() && !p.starts_with('.') && !p.contains('\0')));
        }
    }

    #[test]
    fn what_a_query_says_is_short_plain_text(key in "session|uuid|serial", value in any::<String>(), more in any::<String>()) {
        let query = format!("{key}={value}&{more}");
        if let Some(Route::Machine(_, query)) = parse("/boot/52-54-00-77-00-01", Some(&query)) {
            for value in [query.session, query.uuid, query.serial].into_iter().flatten() {
                prop_assert!(value.chars().count() <= MAX_VALUE);
                prop_assert!(!value.chars().any(char::is_control));
            }
        }
    }

    #[test]
    fn every_spelling_of_a_mac_is_the_same_machine(octets in any::<[u8; 6]>()) {
        let mac = MacAddr(octets);
        for text in [mac.to_string(), mac.hyphens(), mac.to_string().to_uppercase(), mac.to_string().replace(':', "%3A")] {
            let same = matches!(parse(&format!("/boot/{text}"), None), Some(Route::Machine(m, _)) if m == mac);
            prop_assert!(same, "{}", text);
        }
    }

    #[test]
    fn a_part_is_inside_the_file(header in "bytes=[0-9]{0,21}-[0-9]{0,21}|.*", size in any::<u64>()) {
        if let Wanted::Part(part) = wanted(Some(&header), size) {
            prop_assert!(part.start < part.end && part.end <= size);
        }
    }

    #[test]
    fn a_good_range_is_served_exactly(a in 0..1000_u64, b in 0..1000_u64, size in 1..1000_u64) {
        let (first, last) = (a.min(b), a.max(b));
        let expected = if first >= size { Wanted::Unsatisfiable } else { Wanted::Part(first..(last + 1).min(size)) };
        prop_assert_eq!(wanted(Some(&format!("bytes={first}-{last}")), size), expected);
    }
}
