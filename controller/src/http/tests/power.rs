//! Claims about power in the API.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Site;

#[tokio::test]
async fn a_boards_password_is_never_shown() {
    let site = Site::new();
    let register = json!({"mac": "52:54:00:77:00:01", "name": "web1"});
    site.json("POST", "/api/v1/machines", register).await;
    let settings = "/api/v1/machines/web1/power-settings";
    for (body, status) in [
        (
            json!({"address": "ipmi://ann@10.0.0.9", "secret": "hunter2"}),
            StatusCode::NO_CONTENT,
        ),
        (
            json!({"address": "ipmi://ann:hunter2@10.0.0.9"}),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!({"address": "wol", "secret": "a\nb"}),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
    ] {
        assert_eq!(
            site.json("PUT", settings, body.clone()).await.0,
            status,
            "{body}"
        );
    }
    let machine = site
        .json("GET", "/api/v1/machines/web1", Value::Null)
        .await
        .1;
    assert_eq!(
        (&machine["power"], &machine["restart"]),
        (&json!("ipmi://ann@10.0.0.9:623"), &json!("board"))
    );
    for path in ["/api/v1/machines", "/api/v1/events"] {
        let shown = site.json("GET", path, Value::Null).await.1;
        assert!(!shown.to_string().contains("hunter2"), "{path}: {shown}");
    }
    site.json("PUT", settings, json!({"address": "none"})).await;
    let told = site
        .json("POST", "/api/v1/machines/web1/power", json!({"do": "off"}))
        .await;
    assert_eq!(
        (told.0, &told.1["code"]),
        (StatusCode::CONFLICT, &json!("no-power-means"))
    );
}
