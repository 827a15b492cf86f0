//! Calls the router as a client would.
#![allow(dead_code, reason = "every user of this module needs a part of it")]

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The value of a cookie that this reply sets.
    pub fn cookie(&self, name: &str) -> Option<String> {
        let set = self.headers.get_all(header::SET_COOKIE).iter();
        set.filter_map(|value| value.to_str().ok()?.split(';').next()?.split_once('='))
            .find(|(key, value)| *key == name && !value.is_empty())
            .map(|(_, value)| value.to_owned())
    }
}

pub async fn send(router: &Router, request: Request<Body>) -> Reply {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    // An event stream never ends by itself: its head is what such a caller looks at.
    let stream = parts.headers.get(header::CONTENT_TYPE).is_some_and(|value| value == "text/event-stream");
    let body = if stream { Vec::new() } else { body.collect().await.unwrap().to_bytes().to_vec() };
    Reply { status: parts.status, headers: parts.headers, body }
}

pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    match body {
        Some(json) => request.header("content-type", "application/json").body(json.to_string().into()),
        None => request.body(Body::empty()),
    }
    .unwrap()
}

pub async fn get(router: &Router, token: &str, path: &str) -> Reply {
    send(router, request("GET", path, &[("authorization", &format!("Bearer {token}"))], None)).await
}

pub async fn post(router: &Router, token: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Reply {
    let authorization = format!("Bearer {token}");
    let headers: Vec<_> =
        headers.iter().copied().chain([("authorization", authorization.as_str())]).collect();
    send(router, request("POST", path, &headers, Some(body))).await
}
