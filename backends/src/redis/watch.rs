//! One subscription to the channel of the hints.

use std::time::Duration;

use ::redis::Value;
use ::redis::aio::PubSub;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::address::Address;
use super::error_codes;
use super::topology::Topology;
use crate::common::timeout::{CALL_LIMIT, timed_out};
use crate::shell::Hints;
use crate::{Error, ErrorKind, Hint, LockName, Result};

/// A connection that was silent for this long is tested, since a dead connection is silent too.
const TEST_AFTER_SILENCE: Duration = Duration::from_secs(15);

/// Reports hints until the connection fails, or the sentinels name another server.
pub(super) async fn subscribe(topology: &Topology, channel: &str, hints: &Hints) -> Result<()> {
    let listening = timeout(CALL_LIMIT, listen(topology, channel)).await;
    let (subscription, address) =
        listening.unwrap_or_else(|_| Err(timed_out(ErrorKind::Unavailable)))?;
    hints.listening();
    tokio::select! {
        error = forward(subscription, hints) => Err(error),
        () = topology.primary_changed(address.as_ref()) => {
            Err(Error::new(ErrorKind::Unavailable, "the sentinels name another primary"))
        }
    }
}

/// Subscribes, and returns the server's address if sentinels named it.
async fn listen(topology: &Topology, channel: &str) -> Result<(PubSub, Option<Address>)> {
    let (mut subscription, address) = topology.listen().await?;
    subscription.subscribe(channel).await.map_err(error_codes::connecting)?;
    Ok((subscription, address))
}

/// Forwards hints until the connection fails, and returns why it failed.
async fn forward(subscription: PubSub, hints: &Hints) -> Error {
    let (mut sink, mut messages) = subscription.split();
    loop {
        match timeout(TEST_AFTER_SILENCE, messages.next()).await {
            Ok(Some(message)) => {
                let name = message.get_payload::<String>().ok();
                let name = name.and_then(|name| LockName::new(name).ok());
                hints.send(name.map_or(Hint::Anything, Hint::Name));
            }
            Ok(None) => {
                return Error::new(ErrorKind::Unavailable, "the server closed the subscription");
            }
            Err(_) => match timeout(CALL_LIMIT, sink.ping::<Value>()).await {
                Ok(Ok(_)) => {}
                Ok(Err(cause)) => return error_codes::connecting(cause),
                Err(_) => return timed_out(ErrorKind::Unavailable),
            },
        }
    }
}
