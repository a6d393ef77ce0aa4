//! One subscription to the channel of the hints.

use std::pin::pin;
use std::time::Duration;

use ::redis::Value;
use ::redis::aio::PubSub;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout};

use super::address::Address;
use super::error_codes;
use super::topology::Topology;
use crate::common::timeout::{CALL_LIMIT, timed_out};
use crate::shell::{Hints, hint_text};
use crate::{Error, ErrorKind, Hint, Result};

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
    let mut silent_since = Instant::now();
    // The timer is not set again by each message, which would delay the message.
    let mut test = pin!(sleep(TEST_AFTER_SILENCE));
    loop {
        tokio::select! {
            biased;
            message = messages.next() => {
                let Some(message) = message else {
                    let message = "the server closed the subscription";
                    return Error::new(ErrorKind::Unavailable, message);
                };
                let text = message.get_payload::<String>();
                hints.send(text.map_or(Hint::Anything, |text| hint_text::read(&text)));
                silent_since = Instant::now();
            }
            () = &mut test => {
                if silent_since.elapsed() >= TEST_AFTER_SILENCE {
                    match timeout(CALL_LIMIT, sink.ping::<Value>()).await {
                        Ok(Ok(_)) => silent_since = Instant::now(),
                        Ok(Err(cause)) => return error_codes::connecting(cause),
                        Err(_) => return timed_out(ErrorKind::Unavailable),
                    }
                }
                test.as_mut().reset(silent_since + TEST_AFTER_SILENCE);
            }
        }
    }
}
