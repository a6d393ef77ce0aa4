//! Keep-alives: those of all leases of a store go over one stream.
//!
//! etcd answers each request on it, in turn and with the id of the etcd lease. So an answer belongs to
//! the earliest request for that lease that has none yet, also where nobody waits for it any more.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{
    Client, Error as EtcdError, LeaseKeepAliveResponse, LeaseKeepAliveStream, LeaseKeeper,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::error;
use crate::common::limit::CALL_LIMIT;

/// A stream that owes answers and gives none for so long is left for another, to another member
/// perhaps: a member that hangs must not cost the leases of a cluster that is well.
const STALL: Duration = Duration::from_secs(1);

/// What came of a keep-alive.
pub(super) enum Kept {
    /// The etcd lease lasts its whole ttl from now.
    Extended,
    /// It is over.
    NoLease,
    /// No stream was had for it.
    Failed(EtcdError),
    /// The stream broke off before the answer came, or nothing came on it.
    Unanswered,
}

/// The one stream of a store, opened when it is needed.
pub(super) struct KeepAlives {
    client: Client,
    asks: Mutex<mpsc::UnboundedSender<Ask>>,
}

struct Ask {
    lease: i64,
    answer: oneshot::Sender<Kept>,
}

impl KeepAlives {
    pub(super) fn new(client: Client) -> Self {
        // Closed, so that the first who asks starts the task.
        let (asks, _) = mpsc::unbounded_channel();
        Self { client, asks: Mutex::new(asks) }
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
        let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(mpsc::error::SendError(ask)) = asks.send(ask) {
            // There is no task yet, or it went with its runtime.
            let (sender, receiver) = mpsc::unbounded_channel();
            tokio::spawn(run(self.client.clone(), receiver));
            _ = sender.send(ask);
            *asks = sender;
        }
    }
}

/// Until the store is gone.
async fn run(mut client: Client, mut asks: mpsc::UnboundedReceiver<Ask>) {
    while let Some(Ask { lease, mut answer }) = asks.recv().await {
        // A stream opens with its first request. Whoever gave up holds up nobody.
        let opened = tokio::select! {
            biased;
            () = answer.closed() => continue,
            opened = timeout(CALL_LIMIT, client.lease_keep_alive(lease)) => opened,
        };
        let (kept, stream) = match opened {
            Ok(Ok(stream)) => (Kept::Extended, Some(stream)),
            Ok(Err(error)) if error::is_no_lease(&error) => (Kept::NoLease, None),
            Ok(Err(error)) => (Kept::Failed(error), None),
            Err(_) => (Kept::Unanswered, None),
        };
        // Whoever does not wait any more needs no answer.
        _ = answer.send(kept);
        if let Some((keeper, answers)) = stream {
            serve(keeper, answers, &mut asks).await;
        }
    }
}

/// Until the stream breaks off or hangs, which those who wait learn by their answers being dropped.
async fn serve(
    mut keeper: LeaseKeeper,
    mut answers: LeaseKeepAliveStream,
    asks: &mut mpsc::UnboundedReceiver<Ask>,
) {
    let mut waiting = Waiting::default();
    loop {
        tokio::select! {
            ask = asks.recv() => {
                let Some(Ask { lease, answer }) = ask else { return };
                if answer.is_closed() {
                    continue;
                }
                waiting.add(lease, answer);
                keeper.id = lease;
                if !matches!(timeout(STALL, keeper.keep_alive()).await, Ok(Ok(()))) {
                    return;
                }
            }
            answer = answers.message() => match answer {
                Ok(Some(answer)) => waiting.answer(&answer),
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, "the stream of keep-alives broke off");
                    return;
                }
            },
            () = sleep_until(waiting.since + STALL), if !waiting.asks.is_empty() => return,
        }
    }
}

/// Who waits for an answer, by etcd lease and in order.
struct Waiting {
    asks: HashMap<i64, VecDeque<oneshot::Sender<Kept>>>,
    /// Since when nothing came though somebody waited.
    since: Instant,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { asks: HashMap::new(), since: Instant::now() }
    }
}

impl Waiting {
    fn add(&mut self, lease: i64, answer: oneshot::Sender<Kept>) {
        if self.asks.is_empty() {
            self.since = Instant::now();
        }
        self.asks.entry(lease).or_default().push_back(answer);
    }

    fn answer(&mut self, answer: &LeaseKeepAliveResponse) {
        self.since = Instant::now();
        let Some(asks) = self.asks.get_mut(&answer.id()) else { return };
        let first = asks.pop_front();
        if asks.is_empty() {
            self.asks.remove(&answer.id());
        }
        let kept = if answer.ttl() > 0 { Kept::Extended } else { Kept::NoLease };
        // Whoever does not wait any more needs no answer.
        _ = first.map(|first| first.send(kept));
    }
}
