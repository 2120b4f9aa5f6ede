//! A page that shows the API's document to people: `/api/docs`. Its files are in the program and ask for nothing else but
//! the document; they hold no secret, so that a browser may load them before it has a token to show.

use axum::{body::Body, http::header, response::Response};

use crate::http::answer::put_headers;

/// Where its files are. They are for anyone.
pub const PATHS: [&str; 3] = ["/api/docs", "/api/docs/reader.css", "/api/docs/reader.js"];

/// What the page may do: run its own files, read from where it came from, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The document of this API as a page for people.
#[utoipa::path(get, path = "/api/docs", tag = "meta", operation_id = "docs",
    responses((status = 200, body = String, content_type = "text/html")))]
pub(crate) async fn page() -> Response {
    file(
        "text/html; charset=utf-8",
        include_str!("reader/reader.html"),
    )
}

/// How that page looks.
#[utoipa::path(get, path = "/api/docs/reader.css", tag = "meta", operation_id = "docs_style",
    responses((status = 200, body = String, content_type = "text/css")))]
pub(crate) async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("reader/reader.css"))
}

/// What that page does.
#[utoipa::path(get, path = "/api/docs/reader.js", tag = "meta", operation_id = "docs_script",
    responses((status = 200, body = String, content_type = "text/javascript")))]
pub(crate) async fn script() -> Response {
    file(
        "text/javascript; charset=utf-8",
        include_str!("reader/reader.js"),
    )
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    let told = [
        (header::CONTENT_TYPE, kind),
        // Small, and another one with the next version.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    put_headers(&mut response, told);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 3] = [
        include_str!("reader/reader.html"),
        include_str!("reader/reader.css"),
        include_str!("reader/reader.js"),
    ];

    #[test]
    fn the_page_is_small_and_asks_nobody_else() {
        assert!(FILES.iter().map(|f| f.len()).sum::<usize>() < 100_000);
        for text in FILES {
            for elsewhere in ["http:", "https:", "//cdn", "@import", "url("] {
                assert!(!text.contains(elsewhere), "{elsewhere}");
            }
        }
    }

    /// The policy refuses scripts and styles within the page; texts of the document never become markup.
    #[test]
    fn nothing_in_the_page_needs_what_its_policy_refuses() {
        let [page, _, script] = FILES;
        for within in ["<style", " style=", "onclick", "onload", "<script>"] {
            assert!(!page.contains(within), "{within}");
        }
        for markup in [
            "innerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            ".style",
        ] {
            assert!(!script.contains(markup), "{markup}");
        }
        for path in &PATHS[1..] {
            assert!(page.contains(path), "{path}");
        }
    }
}
