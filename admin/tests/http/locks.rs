//! These tests read, disable, enable and resign locks.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::fault_store::FaultStore;
use crate::support::TestServer;

#[tokio::test]
async fn a_lock_resource_follows_acquire_resign_and_loss() {
    let server = TestServer::new().await;
    let free = server.get("/v1/locks/job").await.ok();
    let none = json!({
        "name": "job", "state": "free", "holder": null, "token": null, "held_since": null,
        "held_for_ms": null, "left_ms": null, "ending": null, "disabled": null,
        "corrupt": null, "kind": null, "capacity": null, "holders": [], "waiters": [],
    });
    assert_eq!(free, none);

    let guard = server.client.lock("job").unwrap().acquire(Duration::ZERO).await.unwrap();
    let held = server.get("/v1/locks/job").await.ok();
    assert_eq!(held["state"], "held");
    assert_eq!(held["token"], guard.token().get());
    assert_eq!(held["holder"]["label"], "admin");
    assert_eq!(held["holder"]["pid"], std::process::id());
    assert!(held["left_ms"].as_u64().unwrap() > 0 && held["held_since"].is_string(), "{held}");
    assert_eq!((&held["kind"], &held["capacity"]), (&json!("exclusive"), &json!(1)));
    assert_eq!(held["holders"][0]["token"], held["token"]);

    let done = server.post("/v1/locks/job/resign", r#"{"reason":"deploy"}"#).await.ok();
    assert_eq!(done["outcome"], "resigning");
    assert_eq!(done["holder"], held["holder"]);
    guard.lost().await;
    let after = server.get("/v1/locks/job").await.ok();
    assert_eq!(after["disabled"], json!(null), "{after}");
    if after["state"] == "ending" {
        assert_eq!(after["ending"], "deploy");
    }
    drop(guard);
}

#[tokio::test]
async fn disable_and_enable_report_their_outcome() {
    let server = TestServer::new().await;
    let disable = |reason: &str| format!(r#"{{"reason":"{reason}"}}"#);
    let done = server.post("/v1/locks/a/disable", disable("one")).await.ok();
    assert_eq!(done, json!({ "name": "a", "outcome": "disabled" }));
    let done = server.post("/v1/locks/a/disable", disable("two")).await.ok();
    assert_eq!(done["outcome"], "already_disabled");
    assert_eq!(done["disabled"]["reason"], "one");
    assert_eq!(done["disabled"]["by"], server.client.holder().to_string());
    let lock = server.get("/v1/locks/a").await.ok();
    assert_eq!((&lock["state"], &lock["disabled"]["reason"]), (&json!("disabled"), &json!("one")));
    assert!(lock["disabled"]["for_ms"].is_u64() && lock["disabled"]["since"].is_string());

    let problem = server.post("/v1/locks/a/resign", disable("x")).await.problem(409, "disabled");
    assert!(problem["detail"].as_str().unwrap().contains("one"), "{problem}");

    let done = server.post("/v1/locks/a/enable", "{}").await.ok();
    assert_eq!(done, json!({ "name": "a", "outcome": "enabled" }));
    let done = server.post("/v1/locks/a/enable", "{}").await.ok();
    assert_eq!(done["outcome"], "already_enabled");
    let done = server.post("/v1/locks/a/resign", disable("x")).await.ok();
    assert_eq!(done, json!({ "name": "a", "outcome": "not_held" }));
}

/// An unreadable record hides no other record.
#[tokio::test]
async fn a_corrupt_record_is_listed_with_the_reason() {
    let store = Arc::new(FaultStore::default());
    let server = TestServer::on(store.clone(), |api| api, None).await;
    for name in ["a", "b", "c"] {
        server.client.disable(name, "x").await.unwrap();
    }
    store.corrupt("b");
    let all = server.get("/v1/locks").await.ok();
    let locks = all["locks"].as_array().unwrap();
    let states: Vec<_> = locks.iter().map(|lock| (&lock["name"], &lock["state"])).collect();
    let [a, b, c] = ["a", "b", "c"].map(serde_json::Value::from);
    let [disabled, corrupt] = ["disabled", "corrupt"].map(serde_json::Value::from);
    assert_eq!(states, [(&a, &disabled), (&b, &corrupt), (&c, &disabled)]);
    let one = server.get("/v1/locks/b").await.ok();
    assert_eq!(one, locks[1]);
    assert_eq!(one["corrupt"], "the token is not a number");
    let page = server.get("/v1/locks?limit=1&after=a").await.ok();
    assert_eq!((&page["locks"][0], &page["next"]), (&one, &b));
    for unknown in ["holder", "token", "disabled", "left_ms", "held_since"] {
        assert_eq!(one[unknown], json!(null));
    }
    assert_eq!(locks[0]["corrupt"], json!(null));
}

#[tokio::test]
async fn pages_are_in_byte_order_and_terminate() {
    let server = TestServer::new().await;
    for name in ["a/1", "a/2", "a/3", "a%", "b", "Z", "á"] {
        server.client.disable(name, "x").await.unwrap();
    }
    let names = |page: &serde_json::Value| {
        let locks = page["locks"].as_array().unwrap().iter();
        locks.map(|lock| lock["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = server.get("/v1/locks").await.ok();
    assert_eq!(names(&all), ["Z", "a%", "a/1", "a/2", "a/3", "b", "á"]);
    assert_eq!(all["next"], json!(null));

    let first = server.get("/v1/locks?prefix=a%2F&limit=2").await.ok();
    assert_eq!((names(&first), &first["next"]), (vec!["a/1".into(), "a/2".into()], &json!("a/2")));
    let last = server.get("/v1/locks?prefix=a/&limit=2&after=a/2").await.ok();
    assert_eq!((names(&last), &last["next"]), (vec!["a/3".into()], &json!(null)));
    assert_eq!(names(&server.get("/v1/locks?prefix=a%25").await.ok()), ["a%"]);
    server.get("/v1/locks?prefix=%C3").await.problem(400, "malformed");
}

#[tokio::test]
async fn health_endpoints_reflect_the_store() {
    let server = TestServer::new().await;
    assert_eq!(server.get("/health/live").await.ok(), json!({ "status": "live" }));
    assert_eq!(server.get("/health/ready").await.ok(), json!({ "status": "ready" }));
}
