//! These tests check which requests are accepted, by their token, host and origin.

use leasehold_admin::{Access, AdminApi, Server, Token};
use leasehold_core::{Client, MemoryStore};

use crate::support::{JSON, TestServer};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

async fn with_token() -> TestServer {
    TestServer::with(|api| api.access(Access::Token(Token::new(TOKEN).unwrap()))).await
}

#[tokio::test]
async fn requests_need_the_token() {
    let server = with_token().await;
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
    let truncated = &TOKEN[..TOKEN.len() - 1];
    for headers in [
        String::new(),
        bearer(""),
        bearer(truncated),
        bearer(&format!("{TOKEN}0")),
        bearer(&format!("{truncated}0")),
        bearer(&TOKEN.to_uppercase()),
        bearer(&"x".repeat(8000)),
        bearer(TOKEN) + &bearer(TOKEN),
        format!("authorization: Basic {TOKEN}\r\n"),
        format!("authorization: {TOKEN}\r\n"),
    ] {
        for line in ["GET /v1/locks", "GET /v1/events", "GET /nothing", "GET /openapi.json"] {
            let response = server.send(line, &headers, "").await;
            response.problem(401, "unauthorized");
            assert!(response.header("www-authenticate").unwrap().starts_with("bearer"));
        }
        let headers = headers + JSON;
        for path in ["/v1/locks/a/disable", "/api/mastercontrols/disable"] {
            let body = r#"{"lockName":"a","reason":"x"}"#;
            let response = server.send(&format!("POST {path}"), &headers, body).await;
            response.problem(401, "unauthorized");
        }
    }
    assert!(server.client.status("a").await.unwrap().disabled.is_none());

    server.send("GET /v1/locks", &bearer(TOKEN), "").await.ok();
    // The name of the server and a proxy make no difference.
    let headers = bearer(TOKEN) + "host: locks.example\r\nx-forwarded-for: 10.0.0.1\r\n";
    server.send("GET /v1/locks", &headers, "").await.ok();
    server.get("/health/ready").await.ok();
    server.send("GET /nothing", &bearer(TOKEN), "").await.problem(404, "not-found");
}

/// Every wrong token gets the same response, which reveals neither how wrong it is nor how long a
/// token should be.
#[tokio::test]
async fn a_refusal_reveals_nothing_about_the_token() {
    let server = with_token().await;
    let mut responses = std::collections::BTreeSet::new();
    let mut wrong: Vec<_> = (0..=TOKEN.len() + 1).map(|length| "x".repeat(length)).collect();
    wrong.extend((0..TOKEN.len()).map(|length| TOKEN[..length].to_owned()));
    wrong.extend([format!("{TOKEN}{TOKEN}"), "x".repeat(1024), "x".repeat(1025)]);
    for token in wrong {
        let headers = format!("authorization: Bearer {token}\r\n");
        let response = server.send("GET /v1/locks", &headers, "").await;
        assert_eq!(response.status, 401);
        responses.insert(response.without("date"));
    }
    assert_eq!(responses.len(), 1, "{responses:?}");
}

#[tokio::test]
async fn without_a_token_the_host_header_must_be_loopback() {
    let server = TestServer::new().await;
    for host in ["localhost", "localhost:1", "127.0.0.1", "[::1]:7475"] {
        server.send("GET /v1/locks", &format!("host: {host}\r\n"), "").await.ok();
    }
    for host in ["evil.example", "localhost.evil.example:7475", "10.0.0.1", "[::2]"] {
        let response = server.send("GET /v1/locks", &format!("host: {host}\r\n"), "").await;
        response.problem(403, "forbidden");
    }
    let forwarded = "forwarded: for=10.0.0.1\r\n";
    server.send("GET /v1/locks", forwarded, "").await.problem(403, "forbidden");
    server.raw("GET /v1/locks HTTP/1.0\r\n\r\n").await.problem(403, "forbidden");
    let absolute = "GET http://evil.example/v1/locks HTTP/1.1\r\nhost: localhost\r\n\
                    connection: close\r\n\r\n";
    server.raw(absolute).await.problem(403, "forbidden");
}

#[tokio::test]
async fn cross_site_writes_change_nothing() {
    let server = TestServer::new().await;
    let write = async |headers: &str| {
        let headers = format!("{JSON}{headers}");
        server.send("POST /v1/locks/a/disable", &headers, r#"{"reason":"x"}"#).await
    };
    for headers in [
        "sec-fetch-site: cross-site\r\n",
        "sec-fetch-site: same-site\r\n",
        "origin: https://evil.example\r\n",
        "origin: null\r\n",
        "origin: http://localhost:1\r\n",
    ] {
        write(headers).await.problem(403, "forbidden");
    }
    // A form can send this type.
    let form = "content-type: text/plain\r\n";
    let response = server.send("POST /v1/locks/a/disable", form, r#"{"reason":"x"}"#).await;
    response.problem(415, "unsupported-media-type");
    // No page gets permission by a preflight request.
    let ask = "origin: https://evil.example\r\naccess-control-request-method: POST\r\n";
    let response = server.send("OPTIONS /v1/locks/a/disable", ask, "").await;
    response.problem(403, "forbidden");
    assert!(server.client.status("a").await.unwrap().disabled.is_none());
    write("sec-fetch-site: same-origin\r\n").await.ok();
    write(&format!("origin: http://{}\r\n", server.address)).await.ok();
}

#[tokio::test]
async fn without_a_token_remote_peers_are_refused() {
    for access in [Access::Loopback, Access::Application] {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            let client = Client::new(MemoryStore::new()).unwrap();
            let api = AdminApi::new(client).access(access.clone());
            let error = Server::bind(api, address.parse().unwrap(), None).await.unwrap_err();
            assert!(error.is_invalid() && error.to_string().contains("token"), "{error}");
        }
    }
    let client = Client::new(MemoryStore::new()).unwrap();
    let api = AdminApi::new(client).access(Access::Token(Token::new(TOKEN).unwrap()));
    Server::bind(api, "0.0.0.0:0".parse().unwrap(), None).await.unwrap();
}
