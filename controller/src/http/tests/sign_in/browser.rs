//! A browser, or something that says to be one.

use axum::{
    body::Body,
    http::{Request, header},
    response::Response,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::super::{Site, read};
use crate::http::{
    network::{Remote, Secure},
    router,
};

/// A page of the controller's own asks.
pub(super) const OWN: (&str, &str) = ("origin", "https://boot.lab");

/// See the module.
#[derive(Clone)]
pub(super) struct Browser {
    pub(super) from: [u8; 4],
    pub(super) cookie: Option<String>,
    headers: Vec<(&'static str, &'static str)>,
}

impl Browser {
    pub(super) fn at(from: [u8; 4]) -> Self {
        Self {
            from,
            cookie: None,
            headers: vec![("host", "boot.lab"), OWN],
        }
    }

    pub(super) fn saying(&self, headers: &[(&'static str, &'static str)]) -> Self {
        let headers = [&[("host", "boot.lab")], headers].concat();
        Self {
            headers,
            ..self.clone()
        }
    }

    pub(super) async fn asks(&self, site: &Site, endpoint: &str, body: Value) -> Response {
        let (method, path) = endpoint.split_once(' ').unwrap();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"));
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let body = match body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(Remote(self.from.into()));
        request.extensions_mut().insert(Secure(true));
        router(site.api.clone()).oneshot(request).await.unwrap()
    }

    pub(super) async fn status(&self, site: &Site, endpoint: &str) -> u16 {
        self.asks(site, endpoint, Value::Null)
            .await
            .status()
            .as_u16()
    }

    /// The status and the JSON of signing in; keeps the cookie.
    pub(super) async fn signs_in(
        &mut self,
        site: &Site,
        name: &str,
        password: &str,
    ) -> (u16, Value) {
        let body = json!({"name": name, "password": password});
        let response = self.asks(site, "POST /session", body).await;
        let given = response.headers().get(header::SET_COOKIE);
        if let Some(given) = given {
            let pair = given.to_str().unwrap().split(';').next().unwrap();
            self.cookie = Some(pair.to_owned());
        }
        let (status, body) = read(response).await;
        (status.as_u16(), body)
    }
}
