//! The tests use a server with its own store, and a client that sends exact bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use leasehold_admin::{AdminApi, Limits, Server, Tls};
use leasehold_core::{Client, LockStore, MemoryStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Every step takes less time than this, even on a busy machine.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) const JSON: &str = "content-type: application/json\r\n";

/// A test server has its own store.
pub(crate) struct TestServer {
    pub(crate) client: Client,
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl TestServer {
    pub(crate) async fn new() -> Self {
        Self::with(|api| api).await
    }

    pub(crate) async fn with(change: impl FnOnce(AdminApi) -> AdminApi) -> Self {
        Self::on(Arc::new(MemoryStore::new()), change, None).await
    }

    pub(crate) async fn on(
        store: Arc<dyn LockStore>,
        change: impl FnOnce(AdminApi) -> AdminApi,
        tls: Option<Tls>,
    ) -> Self {
        let client = Client::builder(store).label("admin").build().unwrap();
        // The limits are high; tests of the limits set their own.
        let limits = Limits::default().reads_per_second(100_000).writes_per_second(100_000);
        let api = change(AdminApi::new(client.clone()).limits(limits));
        let server = Server::bind(api, "127.0.0.1:0".parse().unwrap(), tls).await.unwrap();
        let (address, stop) = (server.address(), CancellationToken::new());
        let task = tokio::spawn(server.run(stop.clone().cancelled_owned()));
        Self { client, address, stop, task: Some(task) }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a request with those header lines, each of which ends in CRLF.
    pub(crate) async fn send(&self, line: &str, headers: &str, body: impl AsRef<[u8]>) -> Response {
        let mut bytes = format!("{line} HTTP/1.1\r\n").into_bytes();
        if !headers.contains("host:") {
            bytes.extend(format!("host: {}\r\n", self.address).bytes());
        }
        bytes.extend(headers.bytes());
        let body = body.as_ref();
        if !body.is_empty() {
            bytes.extend(format!("content-length: {}\r\n", body.len()).bytes());
        }
        bytes.extend(b"connection: close\r\n\r\n");
        bytes.extend(body);
        self.raw(bytes).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.send(&format!("GET {path}"), "", "").await
    }

    pub(crate) async fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.send(&format!("POST {path}"), JSON, body).await
    }

    /// Sends those bytes, and reads until the server ends the connection.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> Response {
        exchange(self.connect().await, bytes).await
    }

    /// Shuts down, and waits until everything has ended.
    pub(crate) async fn shut_down(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            timeout(TEST_TIMEOUT, task).await.expect("the server does not shut down").unwrap();
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    bytes: impl AsRef<[u8]>,
) -> Response {
    let mut response = Vec::new();
    let exchange = async {
        // A server that has already replied need not read the rest.
        let _ = stream.write_all(bytes.as_ref()).await;
        let _ = stream.read_to_end(&mut response).await;
    };
    timeout(TEST_TIMEOUT, exchange).await.expect("the connection does not end");
    Response::parse(&response)
}

/// A response of the server.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Response {
    fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).expect("the response is UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Returns the response without one header.
    pub(crate) fn without(&self, name: &str) -> String {
        let kept = self.head.lines().filter(|line| !line.starts_with(&format!("{name}: ")));
        kept.collect::<Vec<_>>().join("\n") + "\n\n" + &self.body
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the JSON of a success.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        self.assert_safe();
        self.json()
    }

    /// Asserts that it is a problem of that status and kind, in the one form of problems.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        self.assert_safe();
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:leasehold:problem:{kind}"), "{self:?}");
        let texts = ["title", "detail"].map(|field| problem[field].as_str().unwrap_or_default());
        assert!(texts.iter().all(|text| !text.is_empty()), "{self:?}");
        assert_eq!(problem.as_object().unwrap().len(), 4, "{self:?}");
        problem
    }

    #[track_caller]
    fn assert_safe(&self) {
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(self.header("referrer-policy"), Some("no-referrer"));
        assert!(self.header("content-security-policy").unwrap().contains("default-src 'none'"));
        assert_eq!(self.header("access-control-allow-origin"), None);
    }
}

/// Percent-encodes a name for a path.
pub(crate) fn encode(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
