//! Claims about what browsers get.

use axum::http::header;

use super::*;

async fn ask(browsers: &Browsers, method: Method, path: &str) -> Response {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::ORIGIN, "https://ops.example.org")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET")
        .body(Body::empty())
        .unwrap();
    let app = router_for(Site::new().api, browsers);
    app.oneshot(request).await.unwrap()
}

fn granted(response: &Response) -> bool {
    let headers = response.headers();
    headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
}

#[tokio::test]
async fn a_page_of_another_origin_is_let_in_only_by_the_list_and_not_past_the_guard() {
    let path = "/api/v1/machines";
    let closed = ask(&Browsers::default(), Method::OPTIONS, path).await;
    assert!(!granted(&closed));
    let open = Browsers {
        origins: vec!["https://ops.example.org".to_owned()],
        ..Browsers::default()
    };
    let preflight = ask(&open, Method::OPTIONS, path).await;
    assert!(granted(&preflight) && preflight.status() == StatusCode::NO_CONTENT);
    // Its refusal can be read by the page, which shows its code and cure.
    let refused = ask(&open, Method::GET, path).await;
    assert!(granted(&refused) && refused.status() == StatusCode::UNAUTHORIZED);
}

#[cfg(feature = "web")]
#[tokio::test]
async fn the_app_is_served_when_it_is_asked_for_and_never_in_place_of_the_api() {
    let on = Browsers {
        app: true,
        ..Browsers::default()
    };
    let status = async |browsers: &Browsers, path| ask(browsers, Method::GET, path).await.status();
    assert_eq!(status(&on, "/").await, StatusCode::OK);
    assert_eq!(status(&on, "/nothing").await, StatusCode::NOT_FOUND);
    assert_eq!(status(&on, "/api/v1/nothing").await, StatusCode::NOT_FOUND);
    assert_eq!(
        status(&on, "/api/v1/machines").await,
        StatusCode::UNAUTHORIZED
    );
    let off = Browsers::default();
    assert_eq!(status(&off, "/").await, StatusCode::NOT_FOUND);
}
