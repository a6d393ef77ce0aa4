//! Sends the keep-alives of all leases of a store over a few streams.
//!
//! etcd answers each request on a stream, in turn and with the id of the etcd lease. A follower
//! forwards each of them to the leader before it reads the next, so that one stream extends only
//! one lease per round trip between members. Each lease is assigned to one stream, on which at most
//! one request for it is unanswered.
//!
//! Each runtime that renews has its own streams, so that a renewal depends on no other runtime.

use std::array;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{LeaseKeepAliveStream, LeaseKeeper};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::keep_alive_request::{Ask, Kept};
use super::lease_id::TTL_BITS;
use super::limits::{GIVEN_UP, STALL, UNUSED_LIMIT};
use super::members::{Members, Target};
use super::unanswered::Unanswered;
use super::{connection, error};
use crate::{Clock, SystemClock};

/// A runtime has at most this many streams; each is opened when it is needed.
const STREAMS: usize = 8;

/// The streams of a store.
pub(super) struct KeepAlives {
    members: Arc<Members>,
    /// By the runtime that serves them.
    streams: Mutex<HashMap<Option<runtime::Id>, Streams>>,
}

struct Streams {
    to_tasks: [mpsc::UnboundedSender<Ask>; STREAMS],
    used: Instant,
}

impl Streams {
    fn new() -> Self {
        // Closed, so that the first request starts the task.
        Self { to_tasks: array::from_fn(|_| mpsc::unbounded_channel().0), used: Instant::now() }
    }
}

impl KeepAlives {
    pub(super) fn new(members: Arc<Members>) -> Self {
        Self { members, streams: Mutex::default() }
    }

    /// Extends an etcd lease by its own ttl.
    ///
    /// # Cancel safety
    /// A request that was sent is answered all the same, and takes no other's answer.
    pub(super) async fn ask(&self, lease: i64) -> Kept {
        let (answer, answered) = oneshot::channel();
        self.send(Ask { lease, answer });
        answered.await.unwrap_or(Kept::Unanswered)
    }

    fn send(&self, ask: Ask) {
        // The lower bits of all leases with the same ttl are equal.
        let random = usize::try_from(ask.lease >> TTL_BITS).unwrap_or(0);
        let home = connection::home();
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        // A task ends when its sender is dropped.
        streams.retain(|of, it| *of == home || it.used.elapsed() < UNUSED_LIMIT);
        let here = streams.entry(home).or_insert_with(Streams::new);
        here.used = Instant::now();
        let Some(stream) = here.to_tasks.get_mut(random % STREAMS) else { return };
        if let Err(mpsc::error::SendError(ask)) = stream.send(ask) {
            // There is no task yet, or it went with its runtime.
            let (sender, receiver) = mpsc::unbounded_channel();
            tokio::spawn(run(Arc::clone(&self.members), receiver));
            _ = sender.send(ask);
            *stream = sender;
        }
    }
}

/// A member may be silent this long before another one is asked. The limit grows with the time that
/// answers take, so that a slow cluster is not mistaken for one that hangs.
struct Silence(Duration);

impl Silence {
    const LONGEST: Duration = Duration::from_secs(8);

    /// Notes that a member was silent for too long.
    fn failed(&mut self) {
        self.0 = (self.0 * 2).min(Self::LONGEST);
    }

    /// Notes how long an answer took.
    fn answered(&mut self, after: Duration) {
        self.0 = (after * 2).clamp(STALL, Self::LONGEST);
    }
}

/// Until the store is gone.
async fn run(members: Arc<Members>, mut asks: mpsc::UnboundedReceiver<Ask>) {
    let (mut next, mut silence) = (None, Silence(STALL));
    loop {
        let ask = match next.take() {
            Some(ask) => ask,
            None => match asks.recv().await {
                Some(ask) => ask,
                None => return,
            },
        };
        next = open(&members, ask, &mut asks, &mut silence).await;
    }
}

/// Opens a stream with its first request, and serves it. Returns a request that must go to another
/// stream, if any.
async fn open(
    members: &Arc<Members>,
    Ask { lease, mut answer }: Ask,
    asks: &mut mpsc::UnboundedReceiver<Ask>,
    silence: &mut Silence,
) -> Option<Ask> {
    let target = members.target(members.chosen());
    let (asked, begun) = (SystemClock.now(), Instant::now());
    let opening = async { members.client(&target).await?.lease_keep_alive(lease).await };
    let opened = tokio::select! {
        biased;
        // A caller that gave up does not delay the others.
        () = answer.closed() => {
            if begun.elapsed() >= GIVEN_UP {
                members.stalled(&target, GIVEN_UP);
            }
            return None;
        }
        opened = timeout(silence.0, opening) => opened,
    };
    let (kept, stream) = match opened {
        Ok(Ok(stream)) => {
            silence.answered(begun.elapsed());
            members.answered(&target, begun.elapsed());
            (Kept::Extended { asked }, Some(stream))
        }
        Ok(Err(error)) if error::is_no_lease(&error) => (Kept::NoLease, None),
        Ok(Err(error)) => {
            members.leave(target.member);
            (Kept::Failed(error), None)
        }
        Err(_) => {
            members.stalled(&target, silence.0);
            silence.failed();
            (Kept::Unanswered, None)
        }
    };
    // A caller that gave up needs no answer.
    _ = answer.send(kept);
    let (keeper, answers) = stream?;
    match serve(members, &target, keeper, answers, asks, silence).await {
        End::Moved(ask) => Some(ask),
        End::Broken => {
            members.leave(target.member);
            None
        }
        End::Silent(since) => {
            members.stalled(&target.sent(since), silence.0);
            silence.failed();
            None
        }
        End::Closed => None,
    }
}

/// The reason why a stream is no longer served.
enum End {
    /// Another member or connection is used from now on, and no request is unanswered on this
    /// stream.
    Moved(Ask),
    /// The stream failed. Waiting callers notice because their answer channels are dropped.
    Broken,
    /// No answer came since this time, although one is due. Waiting callers notice in the same way.
    Silent(Instant),
    /// The store is gone.
    Closed,
}

async fn serve(
    members: &Arc<Members>,
    target: &Target,
    mut keeper: LeaseKeeper,
    mut answers: LeaseKeepAliveStream,
    asks: &mut mpsc::UnboundedReceiver<Ask>,
    silence: &mut Silence,
) -> End {
    let mut unanswered = Unanswered::default();
    loop {
        let unsent = unanswered.next_unsent();
        keeper.id = unsent.unwrap_or_default();
        tokio::select! {
            ask = asks.recv() => match ask {
                None => return End::Closed,
                Some(ask) if ask.answer.is_closed() => {}
                Some(ask) if unanswered.is_empty() && !members.is_current(target) => {
                    return End::Moved(ask);
                }
                Some(ask) => unanswered.add(ask),
            },
            sent = keeper.keep_alive(), if unsent.is_some() => match sent {
                Ok(()) => unanswered.sent(),
                Err(_) => return End::Broken,
            },
            answer = answers.message() => match answer {
                Ok(Some(answer)) => {
                    if let Some(after) = unanswered.answer(answer.id(), answer.ttl() > 0) {
                        silence.answered(after);
                        members.answered(target, after);
                    }
                }
                Ok(None) => return End::Broken,
                Err(error) => {
                    tracing::debug!(%error, "the stream of keep-alives broke off");
                    return End::Broken;
                }
            },
            () = sleep_until(unanswered.silent_since() + silence.0), if !unanswered.is_empty() => {
                return End::Silent(unanswered.silent_since());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_cluster_is_waited_for_longer() {
        let mut silence = Silence(STALL);
        silence.failed();
        assert_eq!(silence.0, STALL * 2);
        silence.answered(Duration::from_millis(1_600));
        assert_eq!(silence.0, Duration::from_millis(3_200));
        silence.answered(Duration::from_millis(3));
        assert_eq!(silence.0, STALL);
        for _ in 0..10 {
            silence.failed();
        }
        assert_eq!(silence.0, Silence::LONGEST);
    }
}
