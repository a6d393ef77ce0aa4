//! There is one test of `GET /metrics`, because a process has one recorder.

use leasehold_admin::{Access, Exporter, Metrics, Server, Token};
use leasehold_core::ErrorKind;
use tokio_util::sync::CancellationToken;

use crate::support::{TestServer, exchange};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn metrics_follow_the_access_rules() {
    let metrics = Metrics::install().unwrap();
    assert_eq!(Metrics::install().unwrap_err().kind(), ErrorKind::Invalid);
    let without = TestServer::new().await;
    without.client.disable("a", "x").await.unwrap();
    assert_eq!(without.get("/metrics").await.status, 404);

    let server = TestServer::with(|api| api.metrics(metrics.clone())).await;
    server.client.disable("a", "x").await.unwrap();
    let shown = server.get("/metrics").await;
    assert_eq!(shown.status, 200);
    assert_eq!(shown.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    assert!(
        shown.body.contains("leasehold_store_calls_total{operation=\"disable\",outcome=\"ok\"}")
    );
    assert_eq!(server.send("HEAD /metrics", "", "").await.status, 200);
    assert_eq!(server.post("/metrics", "{}").await.status, 405);
    let elsewhere = server.send("GET /metrics", "host: evil.example\r\n", "").await;
    assert_eq!(elsewhere.status, 403);

    let limits = leasehold_admin::Limits::default().reads_per_second(0);
    let busy = TestServer::with(|api| api.metrics(metrics.clone()).limits(limits)).await;
    assert_eq!(busy.get("/metrics").await.status, 429);

    let exporter = Exporter::new(metrics);
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let refused = Server::bind(exporter.clone(), everywhere, None).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let exporter = exporter.access(Access::Token(Token::new(TOKEN).unwrap()));
    let server = Server::bind(exporter, everywhere, None).await.unwrap();
    let port = server.address().port();
    let stop = CancellationToken::new();
    let task = tokio::spawn(server.run(stop.clone().cancelled_owned()));
    let get = async |path: &str, headers: &str| {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let text = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n");
        exchange(stream, text).await
    };
    let token = format!("authorization: Bearer {TOKEN}\r\n");
    assert_eq!(get("/metrics", "").await.status, 401);
    assert_eq!(get("/metrics", &token).await.status, 200);
    assert_eq!(get("/health/live", "").await.status, 200);
    for path in ["/", "/v1/locks", "/metrics/", "/metrics/x"] {
        assert_eq!(get(path, &token).await.status, 404, "{path}");
    }
    stop.cancel();
    task.await.unwrap();
}
