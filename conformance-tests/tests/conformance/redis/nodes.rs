//! This module starts several servers in one container, which are reached at its own address.

use std::sync::Arc;
use std::time::Duration;

use leasehold_conformance::{CaseResult, Failure};
use leasehold_test_servers::{Image, Server, until_ready};
use tokio::time::{Instant, sleep};

use super::Redis;

pub(super) struct Nodes {
    server: Server,
    /// This is the host of all servers.
    pub(super) host: String,
    product: &'static str,
}

impl Nodes {
    /// Starts the container, in which no server runs yet.
    pub(super) async fn new(backend: &Arc<Redis>) -> CaseResult<Self> {
        backend.needs_containers()?;
        let idle = Image { command: &["sleep", "infinity"], ..*backend.image };
        let server = Server::start(&idle).await?;
        let host = server.run(&["hostname", "-i"]).await?.trim().to_owned();
        Ok(Self { server, host, product: backend.image.name })
    }

    pub(super) fn at(&self, port: u16) -> String {
        format!("{}:{port}", self.host)
    }

    pub(super) fn url(&self, port: u16) -> String {
        format!("redis://{}", self.at(port))
    }

    /// Starts a server, with more options, and waits until it listens.
    pub(super) async fn start(&self, port: u16, more: &str) -> CaseResult {
        self.start_all(&[port], more).await
    }

    /// Starts servers with the same options, and waits until they listen. One command starts all of
    /// them, because each command takes long on a busy machine.
    pub(super) async fn start_all(&self, ports: &[u16], more: &str) -> CaseResult {
        let product = self.product;
        let ports = words(ports);
        self.shell(&format!(
            "for port in {ports}; do mkdir -p /tmp/$port && {product}-server --port $port --bind '*' \
             --protected-mode no --dir /tmp/$port --pidfile /tmp/$port/pid --daemonize yes \
             --repl-diskless-sync-delay 0 {more}; done; \
             for port in {ports}; do until [ -n \"$({product}-cli -p $port PING)\" ]; \
             do sleep 0.05; done; done"
        ))
        .await
        .map(drop)
    }

    /// Waits until the reply of each of these servers contains that text.
    pub(super) async fn until_all(&self, ports: &[u16], command: &str, part: &str) -> CaseResult {
        let (product, ports) = (self.product, words(ports));
        self.shell(&format!(
            "for port in {ports}; do until {product}-cli -p $port {command} | grep -q '{part}'; \
             do sleep 0.1; done; done"
        ))
        .await
        .map(drop)
    }

    /// Returns the server's answer to each line, which is one line each.
    pub(super) async fn ask_lines(&self, port: u16, lines: &[String]) -> CaseResult<Vec<String>> {
        let (product, lines) = (self.product, lines.join("\n"));
        let output = self.shell(&format!("{product}-cli -p {port} <<'END'\n{lines}\nEND")).await?;
        Ok(output.lines().map(|line| line.trim().to_owned()).collect())
    }

    /// Starts a sentinel with those lines in its file.
    pub(super) async fn start_sentinel(&self, port: u16, lines: &str) -> CaseResult {
        let product = self.product;
        self.shell(&format!(
            "mkdir -p /tmp/{port} && cd /tmp/{port} && printf 'port {port}\nprotected-mode no\n\
             daemonize yes\npidfile /tmp/{port}/pid\ndir /tmp/{port}\n{lines}\n' > sentinel.conf \
             && {product}-sentinel sentinel.conf"
        ))
        .await?;
        Ok(())
    }

    /// Sends a signal to the server at that port.
    pub(super) async fn signal(&self, port: u16, signal: &str) -> CaseResult {
        self.shell(&format!("kill -{signal} $(cat /tmp/{port}/pid)")).await.map(drop)
    }

    /// Returns the reply to a command, as the product's own client prints it.
    pub(super) async fn ask(&self, port: u16, words: &[&str]) -> CaseResult<String> {
        let (client, port) = (format!("{}-cli", self.product), port.to_string());
        let command = [&[client.as_str(), "-p", port.as_str()], words].concat();
        Ok(self.server.run(&command).await?.trim().to_owned())
    }

    /// Waits until the reply to a command contains that text.
    pub(super) async fn until(&self, port: u16, words: &[&str], part: &str) -> CaseResult {
        let ask = || async {
            match self.ask(port, words).await {
                Ok(answer) if !answer.is_empty() && answer.contains(part) => Ok(()),
                Ok(answer) => Err(answer),
                Err(failure) => Err(failure.to_string()),
            }
        };
        Ok(until_ready(ask).await?)
    }

    pub(super) async fn shell(&self, line: &str) -> CaseResult<String> {
        Ok(self.server.run(&["sh", "-c", line]).await?)
    }
}

fn words(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" ")
}

/// Repeats the call while its errors are transient, for no longer than a failover takes.
pub(super) async fn retry_while_transient<T, F>(mut call: impl FnMut() -> F) -> CaseResult<T>
where
    F: Future<Output = leasehold_core::Result<T>>,
{
    let end = Instant::now() + Duration::from_secs(100);
    loop {
        match call().await {
            Ok(value) => return Ok(value),
            Err(error) if error.is_transient() && Instant::now() < end => {
                sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(Failure::new(format!("{error:?}"))),
        }
    }
}
