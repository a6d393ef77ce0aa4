//! Where a server is, and how one is started.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use leasehold_conformance::servers::{Image, Server, until_ready};
use leasehold_core::{Namespace, Result};
use redis::aio::MultiplexedConnection;
use redis::{Client, IntoConnectionInfo};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use super::broken;

/// A server and the way to it.
pub(super) struct Place {
    url: String,
    address: String,
    client: Client,
    server: Option<Server>,
    counts: Arc<Mutex<HashMap<String, u64>>>,
    monitor: OnceCell<Monitor>,
}

struct Monitor(JoinHandle<()>);

impl Drop for Monitor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Place {
    /// The server that all cases share: the given one or a new one.
    pub(super) async fn shared(image: &Image) -> Result<Self> {
        match image.given_url() {
            Some(url) => Self::at(url),
            None => Self::start(image, &[]).await,
        }
    }

    /// A server that runs.
    pub(super) fn at(url: String) -> Result<Self> {
        let info = url.as_str().into_connection_info().map_err(broken)?;
        let address = info.addr().to_string();
        let client = Client::open(info).map_err(broken)?;
        let (counts, monitor) = (Arc::default(), OnceCell::new());
        Ok(Self { url, address, client, server: None, counts, monitor })
    }

    /// A server of its own.
    pub(super) async fn start(image: &Image, more: &[&str]) -> Result<Self> {
        let server = Server::start_with(image, more).await?;
        let at = Self::at(image.url_at(&server.address()))?;
        let place = Self { server: Some(server), ..at };
        place.ready().await?;
        Ok(place)
    }

    /// Waits until it answers.
    pub(super) async fn ready(&self) -> Result<()> {
        let ask = async || {
            let mut connection = self.client.get_multiplexed_async_connection().await?;
            redis::cmd("PING").query_async::<String>(&mut connection).await
        };
        until_ready(ask).await.map(drop)
    }

    /// Starts the stopped server again, with its data.
    pub(super) async fn restart(&self) -> Result<()> {
        self.server()?.start_again().await?;
        self.ready().await
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The same by way of another address, such as a proxy's.
    pub(super) fn url_by(&self, address: &str) -> String {
        self.url.replacen(&self.address, address, 1)
    }

    /// The same as that user.
    pub(super) fn url_as(&self, user: &str, password: &str) -> String {
        self.url.replacen("redis://", &format!("redis://{user}:{password}@"), 1)
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) async fn connection(&self) -> Result<MultiplexedConnection> {
        self.client.get_multiplexed_async_connection().await.map_err(broken)
    }

    /// One command, with all rights.
    pub(super) async fn run(&self, words: &[&str]) -> Result<redis::Value> {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut self.connection().await?).await.map_err(broken)
    }

    pub(super) fn server(&self) -> Result<&Server> {
        let none = || leasehold_core::Error::invalid("the server is not ours to stop");
        self.server.as_ref().ok_or_else(none)
    }

    /// Counts what clients send about locks, from now: not what scripts do.
    pub(super) async fn count(&self) -> Result<()> {
        let counting = async || {
            let monitor = self.client.get_async_monitor().await.map_err(broken)?;
            let counts = Arc::clone(&self.counts);
            let task = async move {
                let mut pipelines = Pipelines::default();
                let mut lines = monitor.into_on_message::<String>();
                while let Some(line) = lines.next().await {
                    if let Some(line) = Line::of(&line).filter(|line| pipelines.begins(line)) {
                        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                        *counts.entry(line.namespace.to_owned()).or_default() += 1;
                    }
                }
            };
            Ok(Monitor(tokio::spawn(task)))
        };
        self.monitor.get_or_try_init(counting).await.map(drop)
    }

    /// How many there were, once the server has told of all that came before.
    pub(super) async fn counted(&self, namespace: &Namespace) -> Result<u64> {
        let end = format!("end{:016x}", fastrand::u64(..));
        let key = format!("{end}:lock:");
        self.run(&["EXISTS", &key]).await?;
        let look = async || {
            let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            let done = counts.contains_key(&end);
            done.then(|| counts.get(namespace.as_str()).copied().unwrap_or(0)).ok_or("not yet")
        };
        for _ in 0..2000 {
            if let Ok(count) = look().await {
                return Ok(count);
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Err(leasehold_core::Error::invalid("the server does not tell what it does"))
    }

    /// Which product answers, and its version.
    pub(super) async fn version(&self) -> Result<String> {
        let mut connection = self.connection().await?;
        let info = redis::cmd("INFO").arg("server").query_async::<String>(&mut connection).await;
        let info = info.map_err(broken)?;
        let of = |field: &str| {
            info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::trim)
        };
        Ok(match (of("valkey_version"), of("redis_version")) {
            (Some(version), _) => format!("Valkey {version}"),
            (None, version) => format!("Redis {}", version.unwrap_or("of unknown version")),
        })
    }
}

/// A line is `time [database source] "command" "argument" …`; what a script does has the source
/// `lua`.
struct Line<'a> {
    time: f64,
    source: &'a str,
    /// The command and, of a script, which.
    what: &'a str,
    namespace: &'a str,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let (head, command) = line.split_once("] ")?;
        let (time, source) = head.split_once(" [")?;
        if source.ends_with(" lua") {
            return None;
        }
        let (before, _) = command.split_once(":lock:")?;
        let (what, namespace) = before.rsplit_once('"')?;
        Some(Self { time: time.parse().ok()?, source, what, namespace })
    }
}

/// The server tells each command of a pipeline, which is one round trip: the same script again
/// from the same source, so shortly after that no answer can have gone to a client and come back
/// for long, is taken for the next of a pipeline.
#[derive(Default)]
struct Pipelines(HashMap<String, (String, f64)>);

impl Pipelines {
    const SHORTLY: f64 = 0.02;

    fn begins(&mut self, line: &Line<'_>) -> bool {
        let now = (line.what.to_owned(), line.time);
        match self.0.insert(line.source.to_owned(), now) {
            Some((what, time)) => what != line.what || line.time - time > Self::SHORTLY,
            None => true,
        }
    }
}
