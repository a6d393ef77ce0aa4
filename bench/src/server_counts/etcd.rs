//! etcd counts requests and proposals in its metrics.

use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::counts::{Counts, CountsReader};
use crate::url::rest;

/// These requests have one answer each. A keep-alive is a message in a stream.
const UNARY: [&str; 7] =
    ["LeaseGrant", "LeaseRevoke", "LeaseTimeToLive", "Lock", "Range", "Txn", "Unlock"];

const LIMIT: Duration = Duration::from_secs(10);

pub(super) struct Etcd(String);

pub(super) fn open(url: &str) -> Etcd {
    Etcd(rest(url).to_owned())
}

#[async_trait]
impl CountsReader for Etcd {
    async fn read(&self) -> Result<Counts> {
        Ok(parse(&timeout(LIMIT, metrics(&self.0)).await??))
    }
}

async fn metrics(address: &str) -> Result<String> {
    let mut server = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
    server.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn parse(text: &str) -> Counts {
    let value = |line: &str| line.rsplit(' ').next()?.trim().parse::<f64>().ok();
    let of_metric = |metric: &str, label: &str| -> f64 {
        let lines = text.lines().filter(|line| line.starts_with(metric) && line.contains(label));
        lines.filter_map(value).sum()
    };
    let unary = UNARY
        .map(|method| of_metric("grpc_server_started_total", &format!("grpc_method=\"{method}\"")));
    let keep_alives = of_metric("grpc_server_msg_received_total", "grpc_method=\"LeaseKeepAlive\"");
    Counts {
        calls: unary.iter().sum::<f64>() + keep_alives,
        writes: Some(of_metric("etcd_server_proposals_committed_total", "")),
        opened: None,
        open: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_proposals_are_added_up() {
        let text = "# TYPE etcd_server_proposals_committed_total gauge\n\
             etcd_server_proposals_committed_total 17\n\
             grpc_server_started_total{grpc_method=\"Txn\",grpc_type=\"unary\"} 5\n\
             grpc_server_started_total{grpc_method=\"Watch\",grpc_type=\"bidi_stream\"} 3\n\
             grpc_server_msg_received_total{grpc_method=\"LeaseKeepAlive\"} 2\n";
        let counts = parse(text);
        assert_eq!((counts.calls, counts.writes), (7.0, Some(17.0)));
    }
}
