//! Names in paths are not normalized, and no two of them are the same lock.

use crate::support::{TestServer, encode};

const NAMES: [&str; 22] = [
    "a", "A", "a ", " a", "a/b", "a//b", "/", "/a", "a/", "..", ".", "../a", "a/../b", "a%",
    "a%2Fb", "%2e%2e", "a?b#c", "a+b", "á", "a\u{301}", "a\nb\r", "💡",
];

#[tokio::test]
async fn every_name_is_its_own_lock() {
    let server = TestServer::new().await;
    for (nth, name) in NAMES.iter().enumerate() {
        let path = format!("/v1/locks/{}/disable", encode(name));
        let done = server.post(&path, format!(r#"{{"reason":"{nth}"}}"#)).await.ok();
        assert_eq!((&done["name"], &done["outcome"]), (&(*name).into(), &"disabled".into()));
    }
    for (nth, name) in NAMES.iter().enumerate() {
        let lock = server.get(&format!("/v1/locks/{}", encode(name))).await.ok();
        assert_eq!(lock["name"], *name);
        assert_eq!(lock["disabled"]["reason"], nth.to_string());
        assert!(server.client.status(name).await.unwrap().disabled.is_some(), "{name:?}");
    }
    let mut sorted = NAMES.to_vec();
    sorted.sort_unstable();
    let all = server.client.list().await.unwrap();
    assert_eq!(all.iter().map(|record| record.name.as_str()).collect::<Vec<_>>(), sorted);
}

#[tokio::test]
async fn paths_are_not_normalized() {
    let server = TestServer::new().await;
    for (path, name) in [
        ("..", ".."),
        (".", "."),
        ("%2e.", ".."),
        ("a+b", "a+b"),
        ("a;b=c,d", "a;b=c,d"),
        ("%252F", "%2F"),
        ("enable", "enable"),
    ] {
        let lock = server.get(&format!("/v1/locks/{path}")).await.ok();
        assert_eq!(lock["name"], name, "{path}");
    }
    for path in ["a/b", "../openapi.json", "a/../b", "", "a/", "/a", "../../health/live"] {
        server.get(&format!("/v1/locks/{path}")).await.problem(404, "not-found");
    }
    for path in ["%", "%2", "a%zz", "%C3", "%FF", "%ED%A0%80"] {
        server.get(&format!("/v1/locks/{path}")).await.problem(400, "malformed");
    }
    server.get("/v1/locks/%00").await.problem(422, "invalid");
    server.get(&format!("/v1/locks/{}", "a".repeat(255))).await.ok();
    server.get(&format!("/v1/locks/{}", "a".repeat(256))).await.problem(422, "invalid");
    server.get(&format!("/v1/locks/{}", encode(&"á".repeat(128)))).await.problem(422, "invalid");
}

/// However a name is encoded, it is a name or it is refused; it never reaches another route.
#[tokio::test]
async fn names_cannot_reach_other_routes() {
    let server = TestServer::new().await;
    for (path, name) in [
        ("..%2f", "../"),
        ("..%2f..%2fhealth%2flive", "../../health/live"),
        ("%2e%2e%2f%2e%2e%2fopenapi.json", "../../openapi.json"),
        ("a%2Fdisable", "a/disable"),
        ("%2F%2F", "//"),
        ("..%5c..%5chealth", "..\\..\\health"),
        ("a%3Flimit=0", "a?limit=0"),
        ("a%23b", "a#b"),
        ("a%0d%0ax-evil:%201", "a\r\nx-evil: 1"),
        ("..%252f", "..%2f"),
    ] {
        let response = server.get(&format!("/v1/locks/{path}")).await;
        assert_eq!(response.ok()["name"], name, "{path}");
        assert_eq!(response.header("x-evil"), None);
    }
    for path in [
        "//v1/locks",
        "/v1//locks",
        "/v1/locks//",
        "/v1/locks//a",
        "/v1/locks/a//",
        "/v1/./locks",
        "/v1/../v1/locks",
        "/v1/locks/../../health/live",
        "/v1/locks/%2e%2e/%2e%2e/health/live",
        "/V1/locks",
        "/v1%2flocks",
        "/%761/locks",
        "/v1\\locks",
    ] {
        server.get(path).await.problem(404, "not-found");
    }
    // With the encoded slash this is a name, which has no such method.
    server
        .post("/v1/locks/a%2fdisable", r#"{"reason":"x"}"#)
        .await
        .problem(405, "method-not-allowed");
    server.post("/v1/locks//disable", r#"{"reason":"x"}"#).await.problem(422, "invalid");
    server.post("/v1/locks/a%00/disable", r#"{"reason":"x"}"#).await.problem(422, "invalid");
    // These are overlong forms of `/`, `.` and NUL, which are not UTF-8.
    for path in ["%C0%AF", "%C0%AE%C0%AE", "%C0%80", "%E0%80%AF", "%F0%80%80%AF"] {
        server.get(&format!("/v1/locks/{path}")).await.problem(400, "malformed");
    }
    let long = "%61".repeat(3000);
    server.get(&format!("/v1/locks/{long}")).await.problem(422, "invalid");
    assert_eq!(server.client.list().await.unwrap(), []);
}
