//! Hostile input gets clear responses, takes bounded memory and does not disturb elections.

use std::time::Duration;

use leasehold_admin::Limits;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::support::{JSON, TEST_TIMEOUT, TestServer};

#[tokio::test]
async fn an_oversized_body_is_refused() {
    let server = TestServer::new().await;
    let line = "POST /v1/locks/a/disable";
    server.send(line, JSON, vec![b' '; 16 * 1024 + 1]).await.problem(413, "too-large");
    // The announced length is refused without waiting for a byte of the body.
    let announced = format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\n{JSON}content-length: 1099511627776\r\n\r\n"
    );
    server.raw(announced).await.problem(413, "too-large");
    let chunk = "4000\r\n".to_owned() + &" ".repeat(0x4000) + "\r\n";
    let chunked = format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\n{JSON}transfer-encoding: chunked\r\n\r\n{}",
        chunk.repeat(8)
    );
    server.raw(chunked).await.problem(413, "too-large");
    // This is the largest accepted body.
    let body = format!(r#"{{"reason":"x"{}}}"#, " ".repeat(16 * 1024 - 14));
    server.post("/v1/locks/a/disable", body).await.ok();
    // This body is deep rather than long.
    server.post("/v1/locks/a/enable", "[".repeat(10_000)).await.problem(400, "malformed");
    let deep = r#"{"lockName":"a","x":"#.to_owned() + &"[".repeat(10_000);
    server.post("/api/mastercontrols/enable", deep).await.problem(400, "malformed");
}

#[tokio::test]
async fn non_http_bytes_are_refused() {
    let server = TestServer::new().await;
    let many = "a: b\r\n".repeat(1000);
    let long = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(100_000));
    for bytes in [
        "\0\0\0\0\r\n\r\n".to_owned(),
        "hello\r\n\r\n".to_owned(),
        "GET /v1/locks HTTP/9.9\r\n\r\n".to_owned(),
        "GET /v1/locks\u{e9} \u{e9}\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "POST /v1/locks/a/enable HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n"
            .to_owned(),
        "GET / HTTP/1.1\r\nhost: localhost\r\nx: a\0b\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"),
        long,
    ] {
        let status = server.raw(&bytes).await.status;
        let start: String = bytes.chars().take(40).collect();
        // The connection is closed if not even a response makes sense.
        assert!(matches!(status, 0 | 400..500 | 505), "{status}: {start:?}");
    }
    server.get("/v1/locks").await.ok();
}

#[tokio::test]
async fn slow_requests_time_out() {
    let short = Duration::from_millis(300);
    let server = TestServer::with(|api| api.limits(Limits::default().times(short, short))).await;
    // A client sends nothing at all, half a head, or no second request.
    for bytes in [
        "",
        "GET /v1/locks HTTP/1.1\r\nhost: loc",
        "GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ] {
        server.raw(bytes).await;
    }
    // This request's body never arrives; on a busy machine the response may take long.
    let server =
        TestServer::with(|api| api.limits(Limits::default().times(short, TEST_TIMEOUT))).await;
    let half = format!(
        "POST /v1/locks/a/disable HTTP/1.1\r\nhost: localhost\r\n{JSON}content-length: 20\r\n\r\n{{"
    );
    server.raw(half).await.problem(408, "slow-body");
}

/// A client requests large responses and reads none of them.
#[tokio::test]
async fn slow_readers_time_out() {
    let short = Duration::from_millis(300);
    let limits = Limits::default().times(short, short).reads_per_second(100_000);
    let server = TestServer::with(|api| api.limits(limits)).await;
    for nth in 0..500 {
        server.client.disable(format!("{nth}"), "x".repeat(1024)).await.unwrap();
    }
    let mut stream = server.connect().await;
    let request = "GET /v1/locks?limit=500 HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(200);
    let sent = timeout(TEST_TIMEOUT, async {
        // The buffers of both ends fill up, then the server closes the connection.
        while stream.write_all(request.as_bytes()).await.is_ok() {}
    });
    sent.await.expect("the server keeps the connection open");
    // On a busy machine other requests sometimes time out as well.
    let answered = async { while server.get("/v1/locks").await.status != 200 {} };
    timeout(TEST_TIMEOUT, answered).await.expect("no request succeeds");
}
