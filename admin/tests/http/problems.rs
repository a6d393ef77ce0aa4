//! Every error has the one form of problems.

use std::sync::Arc;

use futures_util::future::join_all;
use leasehold_admin::Limits;
use leasehold_core::ErrorKind;
use tokio::time::timeout;

use crate::fault_store::FaultStore;
use crate::support::{Bench, JSON, PATIENCE};

#[tokio::test]
async fn client_errors_are_explained() {
    let bench = Bench::new().await;
    bench.get("/v1/nothing").await.problem(404, "not-found");
    let answer = bench.post("/v1/locks", "{}").await;
    answer.problem(405, "method-not-allowed");
    assert_eq!(answer.header("allow"), Some("get,head"));
    let answer = bench.get("/v1/locks/a/enable").await;
    answer.problem(405, "method-not-allowed");
    assert_eq!(answer.header("allow"), Some("post"));
    bench.post("/health/live", "{}").await.problem(405, "method-not-allowed");

    for query in ["limit=0", "limit=501", "limit=x", "limit=-1", "after=", "what=1", "prefix=%00"] {
        bench.get(&format!("/v1/locks?{query}")).await.problem(422, "invalid");
    }
    bench.get("/v1/locks?prefix=%zz").await.problem(400, "malformed");
    bench.get("/v1/events?what=1").await.problem(422, "invalid");

    let disable = "/v1/locks/a/disable";
    for body in ["{", "{\"reason\":\"x\"", "reason=x", "{\"reason\":\"\\ud800\"}"] {
        bench.post(disable, body).await.problem(400, "malformed");
    }
    bench.post(disable, b"{\"reason\":\"\xFF\"}").await.problem(400, "malformed");
    bench.send(&format!("POST {disable}"), JSON, "").await.problem(400, "malformed");
    for body in
        ["{}", "[]", r#"["x"]"#, r#"{"reason":""}"#, r#"{"reason":"\u0000"}"#, r#"{"reason":1}"#]
    {
        bench.post(disable, body).await.problem(422, "invalid");
    }
    bench.post(disable, r#"{"reason":"x","more":1}"#).await.problem(422, "invalid");
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(1025));
    bench.post(disable, long).await.problem(422, "invalid");
    for kind in
        ["", "content-type: text/plain\r\n", "content-type: text/plain; application/json\r\n"]
    {
        let answer = bench.send(&format!("POST {disable}"), kind, r#"{"reason":"x"}"#).await;
        answer.problem(415, "unsupported-media-type");
    }
    assert!(bench.client.status("a").await.unwrap().disabled.is_none());
}

#[tokio::test]
async fn the_write_limit_does_not_block_reads() {
    let bench = Bench::with(|api| api.limits(Limits::default().writes_per_second(0))).await;
    let answer = bench.post("/v1/locks/a/enable", "{}").await;
    answer.problem(429, "too-many-requests");
    assert_eq!(answer.header("retry-after"), Some("1"));
    bench.get("/v1/locks/a").await.ok();
}

#[tokio::test]
async fn the_read_limit_returns_429_until_it_recovers() {
    let bench = Bench::with(|api| api.limits(Limits::default().reads_per_second(1))).await;
    for path in ["/v1/locks", "/v1/locks/a"] {
        let refused = async {
            loop {
                // These run at the same time, because a busy machine may take more than a second
                // for each.
                let answers = join_all((0..20).map(|_| bench.get(path))).await;
                if let Some(refused) = answers.into_iter().find(|answer| answer.status != 200) {
                    return refused;
                }
            }
        };
        let refused = timeout(PATIENCE, refused).await.expect("every request gets a response");
        refused.problem(429, "too-many-requests");
        assert_eq!(refused.header("retry-after"), Some("1"));
        // Other callers can still write and read the server's health.
        bench.post("/v1/locks/a/enable", "{}").await.ok();
        assert_eq!(bench.get("/health/live").await.status, 200);
        let answered = async { while bench.get(path).await.status != 200 {} };
        timeout(PATIENCE, answered).await.expect("the server no longer responds");
    }
    let bench = Bench::with(|api| api.limits(Limits::default().reads_per_second(0))).await;
    bench.get("/v1/events").await.problem(429, "too-many-requests");
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
        let bench = Bench::on(store, |api| api, None).await;
        for answer in [
            bench.get("/v1/locks").await,
            bench.get("/v1/locks/a").await,
            bench.post("/v1/locks/a/disable", r#"{"reason":"x"}"#).await,
            bench.post("/v1/locks/a/enable", "{}").await,
            bench.post("/v1/locks/a/resign", r#"{"reason":"x"}"#).await,
            bench.post("/api/mastercontrols/enable", r#"{"lockName":"a"}"#).await,
        ] {
            let problem = answer.problem(status, name);
            assert!(problem["detail"].as_str().unwrap().contains("injected failure"), "{problem}");
            assert_eq!(answer.header("retry-after"), wait);
        }
        // This request needs no token, and its response does not have the store's error.
        let ready = bench.get("/health/ready").await;
        ready.problem(503, "store-unavailable");
        assert!(!ready.body.contains("injected failure"), "{ready:?}");
        assert_eq!(bench.get("/health/live").await.status, 200);
    }
}
