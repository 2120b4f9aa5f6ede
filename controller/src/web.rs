//! The web app inside the program (feature `web`): the files that `npm run build` made, packed by build.rs.
//!
//! They are the same for everybody and hold nothing secret; what a page may do is its caller's matter.

use std::io::Read as _;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue, Response, header};

/// A file: its path from the root, what it is, its gzipped bytes.
struct File {
    path: &'static str,
    kind: &'static str,
    packed: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/web_files.rs"));

/// What the page may do: run its own files, talk to where it came from, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; worker-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The answer to a request for `path`, if the app has a file there. `/` is its page.
#[must_use]
pub fn file(path: &str, asked: &HeaderMap) -> Option<Response<Bytes>> {
    let path = match path.trim_start_matches('/') {
        "" => "index.html",
        path => path,
    };
    let file = FILES.iter().find(|file| file.path == path)?;
    let packs = asked.get_all(header::ACCEPT_ENCODING).iter();
    let takes_gzip = packs
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("gzip"));
    let body = if takes_gzip {
        Bytes::from_static(file.packed)
    } else {
        unpacked(file.packed)
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    // Names under assets/ hold a hash of the content; the page itself names them and must be fresh.
    let keep = if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    for (name, value) in [
        (header::CONTENT_TYPE, file.kind),
        (header::CACHE_CONTROL, keep),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::VARY, "Accept-Encoding"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if takes_gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Some(response)
}

/// For the few that do not unpack themselves.
fn unpacked(packed: &[u8]) -> Bytes {
    let mut text = Vec::new();
    GzDecoder::new(packed)
        .read_to_end(&mut text)
        .expect("build.rs packed it");
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(encoding: Option<&'static str>) -> HeaderMap {
        let given = encoding.map(|e| (header::ACCEPT_ENCODING, HeaderValue::from_static(e)));
        given.into_iter().collect()
    }

    #[test]
    fn the_root_is_the_page_under_a_strict_policy() {
        let page = file("/", &asking(None)).unwrap();
        let policy = &page.headers()[header::CONTENT_SECURITY_POLICY];
        assert!(
            policy
                .to_str()
                .unwrap()
                .starts_with("default-src 'none'; script-src 'self';")
        );
        assert_eq!(page.headers()[header::CACHE_CONTROL], "no-cache");
        assert!(page.headers().get(header::CONTENT_ENCODING).is_none());
        let text = std::str::from_utf8(page.body()).unwrap();
        assert!(text.contains("<div id=\"app\">"));
    }

    #[test]
    fn who_takes_gzip_gets_it() {
        let page = file("/index.html", &asking(Some("br, gzip"))).unwrap();
        assert_eq!(page.headers()[header::CONTENT_ENCODING], "gzip");
    }

    #[test]
    fn the_page_names_only_files_that_are_here() {
        let page = FILES.iter().find(|f| f.path == "index.html").unwrap();
        let page = unpacked(page.packed);
        let page = std::str::from_utf8(&page).unwrap();
        let named = page.split('"').filter_map(|part| part.strip_prefix("./"));
        let named: Vec<_> = named.collect();
        assert!(named.len() >= 3, "{named:?}");
        for name in named {
            assert!(FILES.iter().any(|f| f.path == name), "{name}");
        }
        assert!(file("/../Cargo.toml", &asking(None)).is_none());
    }
}
