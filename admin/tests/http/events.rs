//! These tests read the event stream.

use std::sync::Arc;
use std::time::Duration;

use leasehold_admin::Limits;
use leasehold_core::{Client, ErrorKind, LockStore, MemoryStore, Settings};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fault_store::FaultStore;
use crate::support::{TEST_TIMEOUT, TestServer};

/// This value reads one event stream.
pub(crate) struct Events(Lines<BufReader<TcpStream>>);

impl Events {
    pub(crate) async fn follow(server: &TestServer, query: &str) -> Self {
        let mut stream = server.connect().await;
        let request = format!("GET /v1/events{query} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Self(BufReader::new(stream).lines())
    }

    /// Returns the next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        let mut kind = String::new();
        let read = async {
            while let Some(line) = self.0.next_line().await.unwrap_or_default() {
                if let Some(name) = line.strip_prefix("event: ") {
                    kind = name.to_owned();
                } else if let Some(data) = line.strip_prefix("data: ") {
                    return Some((kind, serde_json::from_str(data).unwrap()));
                }
            }
            None
        };
        timeout(TEST_TIMEOUT, read).await.expect("no event")
    }

    /// Waits for an event of a lock that meets the condition.
    pub(crate) async fn lock(&mut self, name: &str, is: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (kind, data) = self.next().await.expect("the stream ended");
            if kind == "lock" && data["name"] == name && is(&data) {
                return data;
            }
        }
    }
}

fn client(store: &Arc<dyn LockStore>, label: &str) -> Client {
    // Heartbeats keep the lease on a busy machine too, and one test waits until it expires.
    let settings = Settings::default().ttl(Duration::from_secs(8));
    Client::builder(store.clone()).label(label).settings(settings).build().unwrap()
}

#[tokio::test]
async fn events_report_takeover_and_disable() {
    let store: Arc<dyn LockStore> = Arc::new(MemoryStore::new());
    let server = TestServer::on(store.clone(), |api| api, None).await;
    server.client.disable("other", "x").await.unwrap();
    let first = client(&store, "first").lock("job").unwrap();
    let guard = first.acquire(Duration::ZERO).await.unwrap();

    let mut events = Events::follow(&server, "").await;
    let (mut one, mut two) = (events.next().await.unwrap(), events.next().await.unwrap());
    assert_eq!((one.0.as_str(), two.0.as_str()), ("lock", "lock"));
    one.1["left_ms"].take();
    let mut status = server.get("/v1/locks/job").await.ok();
    for of in [&mut one.1, &mut status] {
        for field in ["left_ms", "held_for_ms", "held_since"] {
            of[field].take();
            of["holders"][0][field].take();
        }
    }
    assert_eq!(one.1, status, "the event is equal to the lock's own resource");
    assert_eq!(two.1["state"].take(), "disabled");
    assert_eq!(events.next().await.unwrap().0, "complete");

    guard.release().await.unwrap();
    let second = client(&store, "second").lock("job").unwrap();
    let guard = second.acquire(TEST_TIMEOUT).await.unwrap();
    let held = events.lock("job", |lock| lock["holder"]["label"] == "second").await;
    assert_eq!(held["token"], guard.token().get());

    server.client.disable("job", "maintenance").await.unwrap();
    let ending = events.lock("job", |lock| lock["disabled"].is_object()).await;
    assert_eq!(ending["disabled"]["reason"], "maintenance");
    // The guard is never released, so the lease expires.
    guard.lost().await;
    events.lock("job", |lock| lock["state"] == "disabled").await;
    server.client.enable("job").await.unwrap();
    events.lock("job", |lock| lock["state"] == "free").await;
}

#[tokio::test]
async fn events_can_be_filtered_by_prefix() {
    let server = TestServer::new().await;
    for name in ["a", "a%1", "a%2", "b"] {
        server.client.disable(name, "x").await.unwrap();
    }
    let mut events = Events::follow(&server, "?prefix=a%25").await;
    let mut names = Vec::new();
    while let (kind, data) = events.next().await.unwrap()
        && kind == "lock"
    {
        names.push(data["name"].as_str().unwrap().to_owned());
    }
    assert_eq!(names, ["a%1", "a%2"]);
    server.client.enable("b").await.unwrap();
    server.client.enable("a%2").await.unwrap();
    assert_eq!(events.next().await.unwrap().1["name"], "a%2");
}

#[tokio::test]
async fn event_streams_are_limited_and_freed() {
    let server = TestServer::with(|api| api.limits(Limits::default().listeners(2))).await;
    let mut events = [Events::follow(&server, "").await, Events::follow(&server, "").await];
    for events in &mut events {
        assert_eq!(events.next().await.unwrap().0, "complete");
    }
    server.get("/v1/events").await.problem(503, "busy");
    let [first, mut second] = events;
    drop(first);
    server.client.disable("a", "x").await.unwrap();
    second.lock("a", |_| true).await;
    // The server notices a closed connection at its next write.
    let mut third = timeout(TEST_TIMEOUT, async {
        loop {
            let mut third = Events::follow(&server, "").await;
            if let Some((kind, _)) = third.next().await {
                assert_eq!(kind, "lock");
                return third;
            }
        }
    })
    .await
    .expect("the stream's permit is not returned");
    assert_eq!(third.next().await.unwrap().0, "complete");
}

/// Changes during an outage are reported when the store responds again, and nothing is reported
/// twice.
#[tokio::test]
async fn events_report_an_outage_and_a_removed_lock() {
    let store = Arc::new(FaultStore::default());
    let server = TestServer::on(store.clone(), |api| api, None).await;
    for name in ["a", "b", "c"] {
        server.client.disable(name, "x").await.unwrap();
    }
    let mut events = Events::follow(&server, "").await;
    let mut kinds = Vec::new();
    for _ in 0..4 {
        kinds.push(events.next().await.unwrap().0);
    }
    assert_eq!(kinds, ["lock", "lock", "lock", "complete"]);

    store.forget("b");
    let removed = events.next().await.unwrap();
    assert_eq!(removed, ("removed".to_owned(), serde_json::json!({ "name": "b" })));

    store.fail(ErrorKind::Unavailable);
    let (kind, problem) = events.next().await.unwrap();
    assert_eq!((kind.as_str(), &problem["status"]), ("unavailable", &503.into()));
    assert_eq!(problem["type"], "urn:leasehold:problem:store-unavailable");
    // A new client gets the last known state and the error, but not that the state is complete.
    let mut late = Events::follow(&server, "?prefix=c").await;
    assert_eq!(late.next().await.unwrap().0, "lock");
    assert_eq!(late.next().await.unwrap().0, "unavailable");

    store.forget("c");
    store.fail(None);
    assert_eq!(events.next().await.unwrap().0, "available");
    assert_eq!(events.next().await.unwrap().0, "removed");
    assert_eq!(late.next().await.unwrap().0, "available");
    assert_eq!(late.next().await.unwrap().0, "removed");
    assert_eq!(late.next().await.unwrap().0, "complete");
    server.client.enable("a").await.unwrap();
    assert_eq!(events.next().await.unwrap().1["name"], "a");
}

/// Without an event, a store that hangs would look idle.
#[tokio::test]
async fn events_report_a_hanging_store() {
    let faults = Arc::new(FaultStore::default());
    let server = TestServer::on(faults.clone(), |api| api, None).await;
    server.client.disable("job", "x").await.unwrap();
    let mut events = Events::follow(&server, "").await;
    for kind in ["lock", "complete"] {
        assert_eq!(events.next().await.unwrap().0, kind);
    }
    faults.hang(true);
    let (kind, problem) = events.next().await.unwrap();
    assert_eq!(kind, "unavailable");
    // This is the poller's own limit; the call itself times out later, with a longer time.
    assert!(problem["detail"].as_str().unwrap().contains("no reply within 3s"), "{problem}");
    faults.hang(false);
    assert_eq!(events.next().await.unwrap().0, "available");
    server.client.disable("other", "x").await.unwrap();
    events.lock("other", |lock| lock["state"] == "disabled").await;
}
