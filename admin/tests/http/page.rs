//! These tests check the dashboard's page over HTTP; `tests/dashboard` tests it in a browser.

use leasehold_admin::{Access, Token};

use crate::support::TestServer;

#[tokio::test]
async fn the_page_needs_no_token_and_has_a_strict_csp() {
    let token = Token::new("0123456789abcdef0123456789abcdef").unwrap();
    let server = TestServer::with(|api| api.access(Access::Token(token))).await;
    let page = server.get("/").await;
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    let policy = page.header("content-security-policy").unwrap();
    let rules: Vec<_> = policy.split("; ").collect();
    for rule in ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(rules.contains(&rule), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    assert!(page.body.starts_with("<!doctype html>") && page.body.ends_with("</html>\n"));

    let head = server.send("HEAD /", "", "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    server.send("POST /", "", "").await.problem(401, "unauthorized");
    server.get("//").await.problem(401, "unauthorized");
    server.get("/index.html").await.problem(401, "unauthorized");
}

#[tokio::test]
async fn without_a_token_the_page_is_loopback_only() {
    let server = TestServer::new().await;
    assert_eq!(server.get("/").await.status, 200);
    server.send("GET /", "host: evil.example\r\n", "").await.problem(403, "forbidden");
    server.send("GET /", "x-forwarded-for: 10.0.0.1\r\n", "").await.problem(403, "forbidden");
    server.send("POST /", "", "").await.problem(405, "method-not-allowed");
}
