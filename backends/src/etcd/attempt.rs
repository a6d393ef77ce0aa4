//! A request to one member, which is left where it does not answer.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, Error as EtcdError};
use tokio::time::{Instant, sleep, timeout_at};

use super::calls::Answer;
use super::error::{self, Fate};
use super::members::Members;

/// A member that does not answer for so long is left for another one, which is asked as well where
/// the request changes nothing.
pub(super) const STALL: Duration = Duration::from_secs(1);

/// The same of a member whose caller gives up.
pub(super) const GIVEN_UP: Duration = Duration::from_millis(300);

/// How long a member may take to check user and password, which costs it time, before another one
/// is asked.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// How long to wait before a request is repeated: not at all while others were not asked yet.
pub(super) fn pause(tries: usize, others: usize) -> Duration {
    match tries.checked_sub(others) {
        None | Some(0) => Duration::ZERO,
        Some(rounds) => Duration::from_millis(fastrand::u64(5..20) << (rounds + 1).min(8)),
    }
}

/// A request that failed.
pub(super) struct Failed {
    pub(super) error: EtcdError,
    pub(super) fate: Fate,
}

/// Asks one member once.
pub(super) async fn attempt<T, F>(
    members: &Arc<Members>,
    member: usize,
    after: Duration,
    request: &impl Fn(Client) -> F,
) -> (usize, std::result::Result<T, Failed>)
where
    F: Future<Output = Answer<T>>,
{
    if !after.is_zero() {
        sleep(after).await;
    }
    let mut asking = Asking { members, member, since: Instant::now(), answered: false };
    let connected = async {
        if members.others() == 0 {
            return members.client(member).await;
        }
        // What was not sent may be sent to another.
        timeout_at(asking.since + CONNECT_LIMIT, members.client(member)).await.unwrap_or_else(
            |_| Err(EtcdError::EndpointError("the member does not answer".to_owned())),
        )
    };
    let answer = match connected.await {
        Ok(client) => request(client).await.map_err(|error| {
            let fate = error::fate(&error);
            Failed { error, fate }
        }),
        Err(error @ EtcdError::GRpcStatus(_)) if error::fate(&error) == Fate::Refused => {
            Err(Failed { error, fate: Fate::Refused })
        }
        Err(error) => Err(Failed { error, fate: Fate::NotSent }),
    };
    asking.answered = true;
    (member, answer)
}

/// A request that a member was asked.
struct Asking<'a> {
    members: &'a Arc<Members>,
    member: usize,
    since: Instant,
    answered: bool,
}

impl Drop for Asking<'_> {
    /// A member whose answer the caller stopped waiting for is not the next one that is asked.
    fn drop(&mut self) {
        if !self.answered && self.since.elapsed() >= GIVEN_UP {
            self.members.leave(self.member);
        }
    }
}
