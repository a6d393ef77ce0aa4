//! Locks that have a queue show their holders and those that wait.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Client, Guard, LockStore, MemoryStore, Settings};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::events::Events;
use crate::support::{TEST_TIMEOUT, TestServer};

fn client(store: &Arc<dyn LockStore>, label: &str) -> Client {
    // Nothing expires within a test.
    let settings = Settings::default().ttl(Duration::from_secs(600));
    Client::builder(store.clone()).label(label).settings(settings).build().unwrap()
}

/// Starts a task of another instance that waits for this many of three permits.
fn wait(store: &Arc<dyn LockStore>, label: &str, permits: u32) -> JoinHandle<Guard> {
    let semaphore = client(store, label).semaphore("job", 3).unwrap();
    tokio::spawn(async move { semaphore.acquire_many(permits, TEST_TIMEOUT).await.unwrap() })
}

/// Waits until the lock has this many waiters.
async fn until_waiting(server: &TestServer, count: usize) -> Value {
    loop {
        let lock = server.get("/v1/locks/job").await.ok();
        if lock["waiters"].as_array().unwrap().len() == count {
            return lock;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns the label and those two fields of each entry of a list.
fn entries(lock: &Value, list: &str, fields: [&str; 2]) -> Vec<Value> {
    let entries = lock[list].as_array().unwrap().iter();
    let shown = |it: &Value| json!([it["holder"]["label"], it[fields[0]], it[fields[1]]]);
    entries.map(shown).collect()
}

#[tokio::test]
async fn a_semaphore_shows_its_holders_and_the_queue_with_positions() {
    let store: Arc<dyn LockStore> = Arc::new(MemoryStore::new());
    let server = TestServer::on(store.clone(), |api| api, None).await;
    let first = wait(&store, "first", 2).await.unwrap();
    let second = wait(&store, "second", 1).await.unwrap();
    let third = wait(&store, "third", 3);
    until_waiting(&server, 1).await;
    let fourth = wait(&store, "fourth", 1);
    let lock = until_waiting(&server, 2).await;

    assert_eq!((&lock["kind"], &lock["capacity"]), (&json!("semaphore"), &json!(3)));
    assert_eq!((&lock["state"], &lock["holder"]["label"]), (&json!("held"), &json!("first")));
    let expected =
        [json!(["first", 2, first.token().get()]), json!(["second", 1, second.token().get()])];
    assert_eq!(entries(&lock, "holders", ["weight", "token"]), expected);
    let expected = [json!(["third", 1, 3]), json!(["fourth", 2, 1])];
    assert_eq!(entries(&lock, "waiters", ["position", "weight"]), expected);
    for entry in [&lock["holders"][1], &lock["waiters"][1]] {
        assert!(entry["left_ms"].as_u64().unwrap() > 0 && entry["ending"].is_null(), "{entry}");
    }
    let waiter = &lock["waiters"][0];
    assert!(waiter["waiting_since"].is_string() && waiter["waiting_for_ms"].is_u64(), "{waiter}");

    first.release().await.unwrap();
    second.release().await.unwrap();
    let third = third.await.unwrap();
    let lock = until_waiting(&server, 1).await;
    assert_eq!(entries(&lock, "holders", ["weight", "ending"]), [json!(["third", 3, null])]);
    let expected = [json!(["fourth", 1, 1])];
    assert_eq!(entries(&lock, "waiters", ["position", "weight"]), expected);
    drop((third, fourth));
}

#[tokio::test]
async fn events_report_each_change_of_a_queue() {
    let store: Arc<dyn LockStore> = Arc::new(MemoryStore::new());
    let server = TestServer::on(store.clone(), |api| api, None).await;
    let held = wait(&store, "held", 3).await.unwrap();
    let mut events = Events::follow(&server, "").await;
    let (first, second) = (wait(&store, "first", 1), {
        until_waiting(&server, 1).await;
        wait(&store, "second", 1)
    });
    events.lock("job", |lock| lock["waiters"][1]["holder"]["label"] == "second").await;
    // As many wait as before, but others.
    first.abort();
    let third = wait(&store, "third", 1);
    let seen = events.lock("job", |lock| lock["waiters"][1]["holder"]["label"] == "third").await;
    assert_eq!(seen["waiters"][0]["holder"]["label"], "second");
    held.release().await.unwrap();
    let seen = events.lock("job", |lock| lock["holders"][1].is_object()).await;
    assert_eq!((&seen["waiters"], &seen["holder"]["label"]), (&json!([]), &json!("second")));
    drop((second, third));
}

#[tokio::test]
async fn operators_stop_all_holders_of_a_lock() {
    let store: Arc<dyn LockStore> = Arc::new(MemoryStore::new());
    let server = TestServer::on(store.clone(), |api| api, None).await;
    let lock = client(&store, "reader").rw_lock("job").unwrap();
    let readers = [lock.read(TEST_TIMEOUT).await.unwrap(), lock.read(TEST_TIMEOUT).await.unwrap()];
    let shown = server.get("/v1/locks/job").await.ok();
    assert_eq!(shown["kind"], "reader-writer");
    assert_eq!(entries(&shown, "holders", ["weight", "ending"]).len(), 2);

    let done = server.post("/v1/locks/job/resign", r#"{"reason":"deploy"}"#).await.ok();
    assert_eq!((&done["outcome"], &done["holder"]), (&json!("resigning"), &shown["holder"]));
    let ending = server.get("/v1/locks/job").await.ok();
    assert_eq!(ending["disabled"], json!(null));
    for entry in entries(&ending, "holders", ["weight", "ending"]) {
        assert_eq!(entry, json!(["reader", 1, "deploy"]));
    }
    drop(readers);

    let done = server.post("/v1/locks/job/disable", r#"{"reason":"upkeep"}"#).await.ok();
    assert_eq!(done["outcome"], "disabled");
    assert!(lock.try_write().await.unwrap().is_none());
    server.post("/v1/locks/job/enable", "{}").await.ok();
    let writer = lock.write(TEST_TIMEOUT).await.unwrap();
    let shown = server.get("/v1/locks/job").await.ok();
    assert_eq!(shown["holders"][0]["weight"], shown["capacity"]);
    writer.release().await.unwrap();
    let free = server.get("/v1/locks/job").await.ok();
    assert_eq!((&free["state"], &free["kind"]), (&json!("free"), &json!(null)));
}
