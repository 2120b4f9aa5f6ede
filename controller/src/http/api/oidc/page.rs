//! The two pages that a browser sees on its way: it goes on, or it is told why not.
//!
//! Why a page and no redirect: the cookie of a session is `SameSite=Strict`. A browser that another site sent here does not show
//! it along the whole way of redirects, so that whoever comes back would look signed out. From a page of ours it goes on as from
//! any other of ours.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};

use crate::http::{answer::put_headers, error::Problem, sign_in::Refused};

/// What the pages may do: nothing but be read and left.
const POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Gives a browser its session and sends it on to `back`, a path of ours.
pub(super) fn goes_on(back: &str, session: HeaderValue) -> Response {
    let back = escaped(back);
    let head = format!("<meta http-equiv=\"refresh\" content=\"0;url={back}\">");
    let text = format!("<p>You are signed in. <a href=\"{back}\">Go on</a></p>");
    let mut response = Response::new(page("Signed in", &head, &text));
    tell(&mut response);
    response.headers_mut().insert(header::SET_COOKIE, session);
    response
}

/// A refusal: for people a page, for programs the problem as everywhere.
pub(super) fn refused(headers: &HeaderMap, refused: Refused) -> Response {
    let Problem { code, detail } = refused.problem.clone();
    let mut response = refused.into_response();
    let accepts = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    if !accepts.is_some_and(|types| types.contains("text/html")) {
        return response;
    }
    let text = format!(
        "<h1>{}</h1><p>{}.</p><p><code>{}</code></p><p><a href=\"/\">Back</a></p>",
        escaped(code.title()),
        escaped(&detail),
        code.text()
    );
    *response.body_mut() = page("Not signed in", "", &text);
    tell(&mut response);
    response
}

fn page(title: &str, head: &str, text: &str) -> Body {
    Body::from(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">{head}<title>Enforcer: {title}</title></head><body>{text}</body></html>\n"
    ))
}

fn tell(response: &mut Response) {
    let told = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The code is in the address.
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    put_headers(response, told);
}

fn escaped(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => written.push_str("&amp;"),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            '"' => written.push_str("&quot;"),
            '\'' => written.push_str("&#39;"),
            c => written.push(c),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::error::Code;

    #[tokio::test]
    async fn what_somebody_else_wrote_is_text_on_the_page() {
        let mut headers = HeaderMap::new();
        let problem = || Problem::new(Code::OidcName, "<b>\"ann\"</b> & 'bob'");
        let plain = refused(&headers, problem().into());
        assert_eq!(
            plain.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
        let browsers = "text/html,application/xhtml+xml,*/*;q=0.8";
        headers.insert(header::ACCEPT, HeaderValue::from_static(browsers));
        let shown = refused(&headers, problem().into());
        assert_eq!(shown.status(), Code::OidcName.status());
        assert_eq!(shown.extensions().get::<Code>(), Some(&Code::OidcName));
        let body = axum::body::to_bytes(shown.into_body(), 10_000)
            .await
            .unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            body.contains("&lt;b&gt;&quot;ann&quot;&lt;/b&gt; &amp; &#39;bob&#39;"),
            "{body}"
        );
        let on = goes_on(
            "/#/machines?q=a&state=seen",
            HeaderValue::from_static("a=b"),
        );
        let body = axum::body::to_bytes(on.into_body(), 10_000).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        let refresh = "content=\"0;url=/#/machines?q=a&amp;state=seen\"";
        assert!(body.contains(refresh), "{body}");
    }
}
