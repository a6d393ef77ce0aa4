//! Sends the keep-alives of all leases of a store over a few streams.
//!
//! etcd answers the requests on a stream in order, with the id of the etcd lease. A follower
//! forwards each request to the leader before it reads the next one, so a stream extends only one
//! lease per round trip between members. Each lease is assigned to one stream, on which at most one
//! request for it is unanswered.
//!
//! Each runtime that renews has its own streams, so that a renewal depends on no other runtime.

use std::array;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{LeaseKeepAliveStream, LeaseKeeper};
use parking_lot::Mutex;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::keep_alive_request::{KeepAliveReply, KeepAliveRequest};
use super::lease_id::TTL_BITS;
use super::limits::{DROPPED_CALL_STALL, STALL_TIMEOUT, UNUSED_LIMIT};
use super::members::{Members, Target};
use super::pending_keep_alives::PendingKeepAlives;
use super::{connection, error_codes};
use crate::{Clock, SystemClock};

/// A runtime has at most this many streams; each is opened when it is needed.
const MAX_STREAMS: usize = 8;

/// The streams of a store.
pub(super) struct KeepAlives {
    members: Arc<Members>,
    /// The streams by the runtime that serves them.
    streams: Mutex<HashMap<Option<runtime::Id>, Streams>>,
}

struct Streams {
    to_tasks: [mpsc::UnboundedSender<KeepAliveRequest>; MAX_STREAMS],
    used: Instant,
}

impl Streams {
    fn new() -> Self {
        // The channels are closed, so that the first request starts the task.
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
    /// If the call is dropped, the reply to a request that was sent is still read and discarded.
    pub(super) async fn keep_alive(&self, lease: i64) -> KeepAliveReply {
        let (answer, answered) = oneshot::channel();
        self.send(KeepAliveRequest { lease, answer });
        answered.await.unwrap_or(KeepAliveReply::Unanswered)
    }

    fn send(&self, request: KeepAliveRequest) {
        // The lower bits of all leases with the same ttl are equal.
        let random = usize::try_from(request.lease >> TTL_BITS).unwrap_or(0);
        let runtime = connection::current_runtime();
        let mut streams = self.streams.lock();
        // A task ends when its sender is dropped.
        streams.retain(|of, it| *of == runtime || it.used.elapsed() < UNUSED_LIMIT);
        let here = streams.entry(runtime).or_insert_with(Streams::new);
        here.used = Instant::now();
        let Some(stream) = here.to_tasks.get_mut(random % MAX_STREAMS) else { return };
        if let Err(mpsc::error::SendError(request)) = stream.send(request) {
            // There is no task yet, or it ended with its runtime.
            let (sender, receiver) = mpsc::unbounded_channel();
            tokio::spawn(run(Arc::clone(&self.members), receiver));
            _ = sender.send(request);
            *stream = sender;
        }
    }
}

/// A member may be silent this long before another one is asked. The limit grows with the time that
/// answers take, so that a slow cluster is not mistaken for one that hangs.
struct SilenceLimit(Duration);

impl SilenceLimit {
    const MAX: Duration = Duration::from_secs(8);

    /// Notes that a member was silent for too long.
    fn failed(&mut self) {
        self.0 = (self.0 * 2).min(Self::MAX);
    }

    /// Notes how long an answer took.
    fn record_latency(&mut self, after: Duration) {
        self.0 = (after * 2).clamp(STALL_TIMEOUT, Self::MAX);
    }
}

/// Serves one stream until the store is dropped.
async fn run(members: Arc<Members>, mut requests: mpsc::UnboundedReceiver<KeepAliveRequest>) {
    let (mut next, mut silence) = (None, SilenceLimit(STALL_TIMEOUT));
    loop {
        let request = match next.take() {
            Some(request) => request,
            None => match requests.recv().await {
                Some(request) => request,
                None => return,
            },
        };
        next = open(&members, request, &mut requests, &mut silence).await;
    }
}

/// Opens a stream with its first request, and serves it. Returns a request that must go to another
/// stream, if any.
async fn open(
    members: &Arc<Members>,
    KeepAliveRequest { lease, mut answer }: KeepAliveRequest,
    requests: &mut mpsc::UnboundedReceiver<KeepAliveRequest>,
    silence: &mut SilenceLimit,
) -> Option<KeepAliveRequest> {
    let target = members.target(members.chosen());
    let (sent_at, begun) = (SystemClock.now(), Instant::now());
    let opening = async { members.client(&target).await?.lease_keep_alive(lease).await };
    let opened = tokio::select! {
        biased;
        // A caller that gave up does not delay the others. An attempt that was refused gives up too,
        // when another reply came over the same connection.
        () = answer.closed() => {
            let waited = begun.elapsed();
            if waited >= DROPPED_CALL_STALL && !target.answered_within(waited) {
                members.mark_stalled(&target, DROPPED_CALL_STALL);
            }
            return None;
        }
        opened = timeout(silence.0, opening) => opened,
    };
    let (reply, stream) = match opened {
        Ok(Ok(stream)) => {
            silence.record_latency(begun.elapsed());
            members.record_reply(&target, begun.elapsed());
            (KeepAliveReply::Extended { sent_at }, Some(stream))
        }
        Ok(Err(error)) if error_codes::is_no_lease(&error) => (KeepAliveReply::LeaseExpired, None),
        Ok(Err(error)) => {
            members.use_another(target.member);
            (KeepAliveReply::Failed(error), None)
        }
        Err(_) => {
            members.mark_stalled(&target, silence.0);
            silence.failed();
            (KeepAliveReply::Unanswered, None)
        }
    };
    // A caller that gave up needs no answer.
    _ = answer.send(reply);
    let (keeper, answers) = stream?;
    match serve(members, &target, keeper, answers, requests, silence).await {
        StreamEnd::Moved(request) => Some(request),
        StreamEnd::Broken => {
            members.use_another(target.member);
            None
        }
        StreamEnd::Silent(since) => {
            members.mark_stalled(&target.sent(since), silence.0);
            silence.failed();
            None
        }
        StreamEnd::Closed => None,
    }
}

/// The reason why a stream is no longer served.
enum StreamEnd {
    /// Another member or connection is used from now on, and no request is unanswered on this
    /// stream.
    Moved(KeepAliveRequest),
    /// The stream failed. Waiting callers notice because their answer channels are dropped.
    Broken,
    /// No reply came since this time, although one is due. Waiting callers notice in the same way.
    Silent(Instant),
    /// The store is dropped.
    Closed,
}

async fn serve(
    members: &Arc<Members>,
    target: &Target,
    mut keeper: LeaseKeeper,
    mut answers: LeaseKeepAliveStream,
    requests: &mut mpsc::UnboundedReceiver<KeepAliveRequest>,
    silence: &mut SilenceLimit,
) -> StreamEnd {
    let mut pending = PendingKeepAlives::default();
    loop {
        let unsent = pending.next_unsent();
        keeper.id = unsent.unwrap_or_default();
        tokio::select! {
            request = requests.recv() => match request {
                None => return StreamEnd::Closed,
                Some(request) if request.answer.is_closed() => {}
                Some(request) if pending.is_empty() && !members.is_current(target) => {
                    return StreamEnd::Moved(request);
                }
                Some(request) => pending.add(request),
            },
            sent = keeper.keep_alive(), if unsent.is_some() => match sent {
                Ok(()) => pending.sent(),
                Err(_) => return StreamEnd::Broken,
            },
            answer = answers.message() => match answer {
                Ok(Some(answer)) => {
                    if let Some(after) = pending.answer(answer.id(), answer.ttl() > 0) {
                        silence.record_latency(after);
                        members.record_reply(target, after);
                    }
                }
                Ok(None) => return StreamEnd::Broken,
                Err(error) => {
                    tracing::debug!(%error, "the keep-alive stream ended");
                    return StreamEnd::Broken;
                }
            },
            () = sleep_until(pending.silent_since() + silence.0), if !pending.is_empty() => {
                return StreamEnd::Silent(pending.silent_since());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_limit_grows_with_latency() {
        let mut silence = SilenceLimit(STALL_TIMEOUT);
        silence.failed();
        assert_eq!(silence.0, STALL_TIMEOUT * 2);
        silence.record_latency(Duration::from_millis(1_600));
        assert_eq!(silence.0, Duration::from_millis(3_200));
        silence.record_latency(Duration::from_millis(3));
        assert_eq!(silence.0, STALL_TIMEOUT);
        for _ in 0..10 {
            silence.failed();
        }
        assert_eq!(silence.0, SilenceLimit::MAX);
    }
}
