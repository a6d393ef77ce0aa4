//! This module reads the numbers of requests that etcd itself counts.

use std::time::Duration;

use leasehold_core::Result;
use leasehold_test_servers::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::broken::broken;

/// These are the requests that have one answer each. The test itself sends none of them.
const UNARY: [&str; 5] = ["LeaseGrant", "LeaseRevoke", "LeaseTimeToLive", "Range", "Txn"];

/// This is a server that only one namespace uses.
pub(super) struct Counted {
    pub(super) server: Server,
    keep_alives: u64,
    bursts: u64,
}

impl Counted {
    pub(super) fn new(server: Server) -> Self {
        Self { server, keep_alives: 0, bursts: 0 }
    }

    /// Returns the round trips so far. Each unary request is one round trip, and so are all
    /// keep-alives since the last call, because a renewal sends them without waiting in between.
    pub(super) async fn round_trips(&mut self) -> Result<u64> {
        let text = metrics(&self.server.address()).await?;
        let keep_alives = sum(&text, "grpc_server_msg_received_total", &["LeaseKeepAlive"]);
        if keep_alives > self.keep_alives {
            self.keep_alives = keep_alives;
            self.bursts += 1;
        }
        Ok(self.bursts + sum(&text, "grpc_server_started_total", &UNARY))
    }
}

/// Returns how many requests of that method a member has received so far.
pub(super) async fn requests(address: &str, method: &str) -> Result<u64> {
    Ok(sum(&metrics(address).await?, "grpc_server_started_total", &[method]))
}

/// Returns how many keep-alive streams were opened at a member so far.
pub(super) async fn streams(address: &str) -> Result<u64> {
    requests(address, "LeaseKeepAlive").await
}

/// Returns how many keep-alives a member has received so far.
pub(super) async fn keep_alives(address: &str) -> Result<u64> {
    Ok(sum(&metrics(address).await?, "grpc_server_msg_received_total", &["LeaseKeepAlive"]))
}

async fn metrics(address: &str) -> Result<String> {
    let get = async {
        let mut server = TcpStream::connect(address).await?;
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        server.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    timeout(Duration::from_secs(100), get).await.map_err(broken)?.map_err(broken)
}

/// Returns the sum of that metric over those methods.
fn sum(text: &str, metric: &str, methods: &[&str]) -> u64 {
    let of_methods = |line: &&str| {
        line.starts_with(metric)
            && methods.iter().any(|method| line.contains(&format!("grpc_method=\"{method}\"")))
    };
    let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
    text.lines().filter(of_methods).filter_map(value).sum::<f64>() as u64
}
