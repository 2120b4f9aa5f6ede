//! Boot HTTP: a request line's path and query, and a `Range` header.

use ipxe::http::{MAX_VALUE, Route, Wanted, parse, wanted};

/// The input is up to three lines: path, query, range. A file's size is taken from the input's length and first byte.
pub fn fuzz_http(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let (path, query, range) = (lines.next(), lines.next(), lines.next());
    if let Some(route) = parse(path.unwrap_or_default(), query) {
        check_route(&route);
    }
    let first = u64::from(data.first().copied().unwrap_or_default());
    for size in [0, 1, data.len() as u64, first << 56, u64::MAX] {
        check_range(range, size);
    }
}

/// What is let through leads to nothing else and is small.
fn check_route(route: &Route) {
    match route {
        Route::File(path) => assert!(
            path.split('/').count() > 1
                && path
                    .split('/')
                    .all(|part| !part.is_empty() && !part.starts_with('.'))
        ),
        Route::Machine(_, query) => {
            for value in [
                &query.uuid,
                &query.serial,
                &query.arch,
                &query.platform,
                &query.session,
            ] {
                check_value(value.as_deref());
            }
        }
        Route::NonceFile {
            nonce,
            name,
            session,
        } => {
            assert!(!nonce.contains('/') && !name.contains('/'));
            check_value(session.as_deref());
        }
        Route::Callback { nonce, words, .. } => {
            assert!(!nonce.contains('/'));
            check_value(words.as_deref());
        }
        Route::General | Route::Pixiecore(_) | Route::Health | Route::Metrics => {}
    }
}

fn check_value(value: Option<&str>) {
    if let Some(value) = value {
        assert!(!value.is_empty() && value.chars().count() <= MAX_VALUE);
        assert!(!value.chars().any(char::is_control));
    }
}

/// A part is never empty and never outside the file.
fn check_range(header: Option<&str>, size: u64) {
    match wanted(header, size) {
        Wanted::Whole | Wanted::Unsatisfiable => {}
        Wanted::Part(part) => assert!(part.start < part.end && part.end <= size),
    }
}
