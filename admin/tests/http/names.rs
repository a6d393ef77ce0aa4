//! Names in paths: nothing is normalized away, and no two are one.

use crate::support::{Bench, encode};

const NAMES: [&str; 22] = [
    "a", "A", "a ", " a", "a/b", "a//b", "/", "/a", "a/", "..", ".", "../a", "a/../b", "a%",
    "a%2Fb", "%2e%2e", "a?b#c", "a+b", "á", "a\u{301}", "a\nb\r", "💡",
];

#[tokio::test]
async fn every_name_is_its_own_lock() {
    let bench = Bench::new().await;
    for (nth, name) in NAMES.iter().enumerate() {
        let path = format!("/v1/locks/{}/disable", encode(name));
        let done = bench.post(&path, format!(r#"{{"reason":"{nth}"}}"#)).await.ok();
        assert_eq!((&done["name"], &done["outcome"]), (&(*name).into(), &"disabled".into()));
    }
    for (nth, name) in NAMES.iter().enumerate() {
        let lock = bench.get(&format!("/v1/locks/{}", encode(name))).await.ok();
        assert_eq!(lock["name"], *name);
        assert_eq!(lock["disabled"]["reason"], nth.to_string());
        assert!(bench.client.status(name).await.unwrap().disabled.is_some(), "{name:?}");
    }
    let mut sorted = NAMES.to_vec();
    sorted.sort_unstable();
    let all = bench.client.list().await.unwrap();
    assert_eq!(all.iter().map(|record| record.name.as_str()).collect::<Vec<_>>(), sorted);
}

#[tokio::test]
async fn a_path_as_it_is_sent() {
    let bench = Bench::new().await;
    for (path, name) in [
        ("..", ".."),
        (".", "."),
        ("%2e.", ".."),
        ("a+b", "a+b"),
        ("a;b=c,d", "a;b=c,d"),
        ("%252F", "%2F"),
        ("enable", "enable"),
    ] {
        let lock = bench.get(&format!("/v1/locks/{path}")).await.ok();
        assert_eq!(lock["name"], name, "{path}");
    }
    for path in ["a/b", "../openapi.json", "a/../b", "", "a/", "/a", "../../health/live"] {
        bench.get(&format!("/v1/locks/{path}")).await.problem(404, "not-found");
    }
    for path in ["%", "%2", "a%zz", "%C3", "%FF", "%ED%A0%80"] {
        bench.get(&format!("/v1/locks/{path}")).await.problem(400, "malformed");
    }
    bench.get("/v1/locks/%00").await.problem(422, "invalid");
    bench.get(&format!("/v1/locks/{}", "a".repeat(255))).await.ok();
    bench.get(&format!("/v1/locks/{}", "a".repeat(256))).await.problem(422, "invalid");
    bench.get(&format!("/v1/locks/{}", encode(&"á".repeat(128)))).await.problem(422, "invalid");
}
