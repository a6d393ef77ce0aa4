//! Hints, from a task of their own: a stream that is not polled keeps nobody waiting.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::PubSub;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::address::Address;
use super::error;
use super::runtimes::Connections;
use super::topology::Topology;
use crate::common::timeout::CALL_LIMIT;
use crate::{ErrorKind, Hint, HintStream, LockName, Result};

/// The pauses between attempts, while the server cannot be watched.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// After so long without a word the server is asked for one, since a dead connection says nothing.
const TEST_AFTER_SILENCE: Duration = Duration::from_secs(15);

/// How many hints wait for a stream that is not polled, before the task waits too.
const HINT_BUFFER: usize = 256;

/// Begins to watch: what changes from now on is hinted at. The connections are those of the runtime
/// that calls this, where the watch goes on.
pub(super) async fn hints(
    connections: Arc<Connections>,
    channel_name: String,
) -> Result<HintStream> {
    let listening = listen(&connections.topology, &channel_name).await?;
    let (sender, receiver) = channel(HINT_BUFFER);
    let task = WatchTask(tokio::spawn(run(connections, channel_name, listening, sender)));
    Ok(Box::pin(stream::unfold((receiver, task), next)))
}

async fn next(
    (mut receiver, task): (Receiver<Hint>, WatchTask),
) -> Option<(Hint, (Receiver<Hint>, WatchTask))> {
    receiver.recv().await.map(|hint| (hint, (receiver, task)))
}

/// Ends with the stream.
struct WatchTask(JoinHandle<()>);

impl Drop for WatchTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A subscription, with the server's address if sentinels named it.
type Subscribed = (PubSub, Option<Address>);

async fn listen(topology: &Topology, channel_name: &str) -> Result<Subscribed> {
    let listening = async {
        let (mut listening, address) = topology.listen().await?;
        listening.subscribe(channel_name).await.map_err(error::connecting)?;
        Ok((listening, address))
    };
    let listening = timeout(CALL_LIMIT, listening).await;
    listening.unwrap_or_else(|_| Err(error::unanswered(ErrorKind::Unavailable, CALL_LIMIT)))
}

async fn run(
    connections: Arc<Connections>,
    channel_name: String,
    mut listening: Subscribed,
    sender: Sender<Hint>,
) {
    loop {
        let (subscription, address) = listening;
        tokio::select! {
            forwarded = forward(subscription, &sender) => match forwarded {
                Some(()) => {}
                None => return,
            },
            () = connections.topology.primary_changed(address.as_ref()) => {}
        }
        tracing::warn!("the watch was interrupted");
        listening = reopen(&connections.topology, &channel_name).await;
        if sender.send(Hint::Anything).await.is_err() {
            return;
        }
    }
}

/// Forwards hints until the connection fails; returns `None` if the stream was dropped.
async fn forward(listening: PubSub, sender: &Sender<Hint>) -> Option<()> {
    let (mut sink, mut messages) = listening.split();
    loop {
        match timeout(TEST_AFTER_SILENCE, messages.next()).await {
            Ok(Some(message)) => {
                let name = message.get_payload::<String>().ok();
                let name = name.and_then(|name| LockName::new(name).ok());
                sender.send(name.map_or(Hint::Anything, Hint::Name)).await.ok()?;
            }
            Ok(None) => return Some(()),
            Err(_) => match timeout(CALL_LIMIT, sink.ping::<::redis::Value>()).await {
                Ok(Ok(_)) => {}
                _ => return Some(()),
            },
        }
    }
}

async fn reopen(topology: &Topology, channel_name: &str) -> Subscribed {
    let mut pause = MIN_BACKOFF;
    loop {
        // With jitter, so that the clients of a server that comes back do not come all at once.
        sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        match listen(topology, channel_name).await {
            Ok(listening) => return listening,
            Err(error) => tracing::debug!(%error, "the watch cannot go on yet"),
        }
        pause = (pause * 2).min(MAX_BACKOFF);
    }
}
