//! Every error response is a problem (RFC 9457).

use std::sync::Arc;

use futures_util::future::join_all;
use leasehold_admin::Limits;
use leasehold_core::ErrorKind;
use tokio::time::timeout;

use crate::fault_store::FaultStore;
use crate::support::{JSON, TEST_TIMEOUT, TestServer};

#[tokio::test]
async fn client_errors_are_explained() {
    let server = TestServer::new().await;
    server.get("/v1/nothing").await.problem(404, "not-found");
    let response = server.post("/v1/locks", "{}").await;
    response.problem(405, "method-not-allowed");
    assert_eq!(response.header("allow"), Some("get,head"));
    let response = server.get("/v1/locks/a/enable").await;
    response.problem(405, "method-not-allowed");
    assert_eq!(response.header("allow"), Some("post"));
    server.post("/health/live", "{}").await.problem(405, "method-not-allowed");

    for query in ["limit=0", "limit=501", "limit=x", "limit=-1", "after=", "what=1", "prefix=%00"] {
        server.get(&format!("/v1/locks?{query}")).await.problem(422, "invalid");
    }
    server.get("/v1/locks?prefix=%zz").await.problem(400, "malformed");
    server.get("/v1/events?what=1").await.problem(422, "invalid");

    let disable = "/v1/locks/a/disable";
    for body in ["{", "{\"reason\":\"x\"", "reason=x", "{\"reason\":\"\\ud800\"}"] {
        server.post(disable, body).await.problem(400, "malformed");
    }
    server.post(disable, b"{\"reason\":\"\xFF\"}").await.problem(400, "malformed");
    server.send(&format!("POST {disable}"), JSON, "").await.problem(400, "malformed");
    for body in
        ["{}", "[]", r#"["x"]"#, r#"{"reason":""}"#, r#"{"reason":"\u0000"}"#, r#"{"reason":1}"#]
    {
        server.post(disable, body).await.problem(422, "invalid");
    }
    server.post(disable, r#"{"reason":"x","more":1}"#).await.problem(422, "invalid");
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(1025));
    server.post(disable, long).await.problem(422, "invalid");
    for kind in
        ["", "content-type: text/plain\r\n", "content-type: text/plain; application/json\r\n"]
    {
        let response = server.send(&format!("POST {disable}"), kind, r#"{"reason":"x"}"#).await;
        response.problem(415, "unsupported-media-type");
    }
    assert!(server.client.status("a").await.unwrap().disabled.is_none());
}

#[tokio::test]
async fn the_write_limit_does_not_block_reads() {
    let server = TestServer::with(|api| api.limits(Limits::default().writes_per_second(0))).await;
    let response = server.post("/v1/locks/a/enable", "{}").await;
    response.problem(429, "too-many-requests");
    assert_eq!(response.header("retry-after"), Some("1"));
    server.get("/v1/locks/a").await.ok();
}

#[tokio::test]
async fn the_read_limit_returns_429_until_it_recovers() {
    let server = TestServer::with(|api| api.limits(Limits::default().reads_per_second(1))).await;
    for path in ["/v1/locks", "/v1/locks/a"] {
        let refused = async {
            loop {
                // These run at the same time, because a busy machine may take more than a second
                // for each.
                let responses = join_all((0..20).map(|_| server.get(path))).await;
                if let Some(refused) = responses.into_iter().find(|response| response.status != 200)
                {
                    return refused;
                }
            }
        };
        let refused = timeout(TEST_TIMEOUT, refused).await.expect("no request was refused");
        refused.problem(429, "too-many-requests");
        assert_eq!(refused.header("retry-after"), Some("1"));
        // Other callers can still write and read the server's health.
        server.post("/v1/locks/a/enable", "{}").await.ok();
        assert_eq!(server.get("/health/live").await.status, 200);
        let answered = async { while server.get(path).await.status != 200 {} };
        timeout(TEST_TIMEOUT, answered).await.expect("the limit does not recover");
    }
    let server = TestServer::with(|api| api.limits(Limits::default().reads_per_second(0))).await;
    server.get("/v1/events").await.problem(429, "too-many-requests");
}

#[tokio::test]
async fn store_errors_become_problems() {
    for (kind, status, name, wait) in [
        (ErrorKind::Unavailable, 503, "store-unavailable", Some("1")),
        (ErrorKind::Denied, 503, "store-denied", Some("30")),
        (ErrorKind::OutcomeUnknown, 504, "outcome-unknown", None),
        (ErrorKind::Corrupt, 500, "store-corrupt", None),
        (ErrorKind::Unsupported, 501, "unsupported", None),
    ] {
        let store = Arc::new(FaultStore::default());
        store.fail(kind);
        let server = TestServer::on(store, |api| api, None).await;
        for response in [
            server.get("/v1/locks").await,
            server.get("/v1/locks/a").await,
            server.post("/v1/locks/a/disable", r#"{"reason":"x"}"#).await,
            server.post("/v1/locks/a/enable", "{}").await,
            server.post("/v1/locks/a/resign", r#"{"reason":"x"}"#).await,
            server.post("/api/mastercontrols/enable", r#"{"lockName":"a"}"#).await,
        ] {
            let problem = response.problem(status, name);
            assert!(problem["detail"].as_str().unwrap().contains("injected failure"), "{problem}");
            assert_eq!(response.header("retry-after"), wait);
        }
        // This request needs no token, and its response does not have the store's error.
        let ready = server.get("/health/ready").await;
        ready.problem(503, "store-unavailable");
        assert!(!ready.body.contains("injected failure"), "{ready:?}");
        assert_eq!(server.get("/health/live").await.status, 200);
    }
}
