//! Sends a request to one member. If the member does not answer, later requests go to another one.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, Error as EtcdError};
use tokio::time::{Instant, sleep, timeout_at};

use super::error_codes::{self, RequestResult, SendState};
use super::limits::DROPPED_CALL_STALL;
use super::members::{Members, Target};

/// Connecting to a member, which includes checking the password, may take this long before another
/// one is tried.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Returns how long to wait before the request is repeated: zero until every other member was
/// tried.
pub(super) fn pause(tries: usize, others: usize) -> Duration {
    match tries.checked_sub(others) {
        None | Some(0) => Duration::ZERO,
        Some(rounds) => Duration::from_millis(fastrand::u64(5..20) << (rounds + 1).min(8)),
    }
}

/// A request that failed.
pub(super) struct RequestFailure {
    pub(super) error: EtcdError,
    pub(super) send_state: SendState,
}

/// Sends a request to one member once.
pub(super) async fn send_once<T, F>(
    members: &Arc<Members>,
    target: Target,
    after: Duration,
    request: &impl Fn(Client) -> F,
) -> (Target, std::result::Result<T, RequestFailure>)
where
    F: Future<Output = RequestResult<T>>,
{
    if !after.is_zero() {
        sleep(after).await;
    }
    let since = Instant::now();
    let mut pending = PendingRequest { members, target: &target, since, answered: false };
    let connected = async {
        if members.others() == 0 {
            return members.client(&target).await;
        }
        // A request that was not sent may be sent to another member.
        timeout_at(since + CONNECT_LIMIT, members.client(&target)).await.unwrap_or_else(|_| {
            Err(EtcdError::EndpointError("the member does not answer".to_owned()))
        })
    };
    let answer = match connected.await {
        Ok(client) => request(client).await.map_err(|error| {
            let send_state = error_codes::send_state(&error);
            RequestFailure { error, send_state }
        }),
        Err(error @ EtcdError::GRpcStatus(_))
            if error_codes::send_state(&error) == SendState::Refused =>
        {
            Err(RequestFailure { error, send_state: SendState::Refused })
        }
        Err(error) => Err(RequestFailure { error, send_state: SendState::NotSent }),
    };
    pending.answered = true;
    drop(pending);
    let is_answer = match &answer {
        Ok(_) => true,
        Err(failed) => matches!(failed.send_state, SendState::Refused | SendState::NotAccepted),
    };
    if is_answer {
        members.record_reply(&target, since.elapsed());
    }
    (target, answer)
}

/// A request to which a member has not replied yet.
struct PendingRequest<'a> {
    members: &'a Arc<Members>,
    target: &'a Target,
    since: Instant,
    answered: bool,
}

impl Drop for PendingRequest<'_> {
    /// If the caller stopped waiting for a member, the next request goes to another one, or over
    /// another connection.
    fn drop(&mut self) {
        if !self.answered && self.since.elapsed() >= DROPPED_CALL_STALL {
            self.members.mark_stalled(self.target, DROPPED_CALL_STALL);
        }
    }
}
