//! An election of Leasehold raises such a fence in each term before it starts the job.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use leasehold_core::{FencingToken, JobError, LockName, RaiseFence, RaiseOutcome, async_trait};

use crate::{Error, Result, Term};

/// Creates a fence for [`Election::fence`](leasehold_core::Election::fence) from a function that
/// raises it for a term within a time limit.
///
/// ```
/// use std::time::Duration;
///
/// use leasehold_core::{Client, ElectionHandle, Job, Result};
/// use leasehold_fence::{Term, raise_fn};
///
/// # async fn raise(_: Term, _: Duration) -> leasehold_fence::Result<()> { Ok(()) }
/// fn campaign(client: &Client, job: impl Job) -> Result<ElectionHandle> {
///     let fence = raise_fn(|term: Term, limit: Duration| async move {
///         // For example: RedisFence::new(&namespace, &term).raise(&mut connection).await
///         raise(term, limit).await
///     });
///     Ok(client.election("ledger")?.fence(fence, Duration::from_secs(10)).spawn(job))
/// }
/// ```
pub fn raise_fn<F, Fut>(raise: F) -> impl RaiseFence
where
    F: Fn(Term, Duration) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    RaiseFn(raise)
}

/// Translates the result of raising a fence for an election.
///
/// # Errors
/// This returns an error that would occur again if the call were repeated. [`Error::Stale`],
/// [`Error::Blocked`] and the [transient](Error::is_transient) ones are outcomes instead.
pub fn raise_outcome(raised: Result<()>) -> Result<RaiseOutcome> {
    match raised {
        Ok(()) => Ok(RaiseOutcome::Raised),
        Err(Error::Stale(_)) => Ok(RaiseOutcome::Stale),
        Err(error @ Error::Blocked(_)) => Ok(RaiseOutcome::Blocked(error.to_string())),
        Err(error) if error.is_transient() => Ok(RaiseOutcome::TransientError(with_causes(&error))),
        Err(error) => Err(error),
    }
}

/// Describes an error and its causes.
fn with_causes(error: &(dyn StdError + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

struct RaiseFn<F>(F);

impl<F> fmt::Debug for RaiseFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaiseFn").finish_non_exhaustive()
    }
}

#[async_trait]
impl<F, Fut> RaiseFence for RaiseFn<F>
where
    F: Fn(Term, Duration) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    async fn raise(
        &self,
        name: &LockName,
        token: FencingToken,
        limit: Duration,
    ) -> Result<RaiseOutcome, JobError> {
        let raised = (self.0)(Term::new(name, token), limit).await;
        raise_outcome(raised).map_err(JobError::from)
    }

    async fn raise_to_floor(
        &self,
        name: &LockName,
        token: FencingToken,
        floor: FencingToken,
        limit: Duration,
    ) -> Result<RaiseOutcome, JobError> {
        let term = Term::new(name, token).with_floor(floor)?;
        raise_outcome((self.0)(term, limit).await).map_err(JobError::from)
    }
}

#[cfg(test)]
mod tests {
    use leasehold_core::ErrorKind;

    use super::*;
    use crate::{Blocked, NotRaised, Stale};

    #[test]
    fn stale_blocked_and_transient_errors_are_outcomes() {
        let name = LockName::new("a").unwrap();
        let token = FencingToken::new(7).unwrap();
        let outcome = |error| raise_outcome(Err(error)).unwrap();
        assert_eq!(outcome(Error::Stale(Stale::new(&name, token, None))), RaiseOutcome::Stale);
        let blocked = Blocked::new(&name, token, Duration::from_secs(3), Vec::new());
        let RaiseOutcome::Blocked(text) = outcome(Error::Blocked(blocked)) else { panic!() };
        assert!(text.contains("waited 3s"), "{text}");
        let cause = std::io::Error::other("connection refused");
        let failed = leasehold_core::Error::new(ErrorKind::Unavailable, "no answer");
        let failed = outcome(Error::Datastore(failed.with_source(cause)));
        let RaiseOutcome::TransientError(text) = failed else { panic!("{failed:?}") };
        assert_eq!(text, "no answer: connection refused");
        let denied = leasehold_core::Error::new(ErrorKind::Denied, "no privilege");
        assert!(raise_outcome(Err(Error::Datastore(denied))).is_err());
        assert!(raise_outcome(Err(Error::NotRaised(NotRaised::new(&name, token)))).is_err());
    }

    #[tokio::test]
    async fn a_function_raises_for_its_term() {
        let fence = raise_fn(|term: Term, limit: Duration| async move {
            assert_eq!((term.name().as_str(), term.token().get()), ("a", 7));
            assert_eq!(limit, Duration::from_secs(1));
            Ok(())
        });
        let name = LockName::new("a").unwrap();
        let token = FencingToken::new(7).unwrap();
        let outcome = fence.raise(&name, token, Duration::from_secs(1)).await.unwrap();
        assert_eq!(outcome, RaiseOutcome::Raised);
    }

    #[tokio::test]
    async fn a_function_raises_for_one_of_several_leaders() {
        let fence = raise_fn(|term: Term, _| async move {
            assert_eq!((term.token().get(), term.floor().get()), (7, 5));
            Ok(())
        });
        let name = LockName::new("a").unwrap();
        let [token, floor] = [7, 5].map(|number| FencingToken::new(number).unwrap());
        let limit = Duration::from_secs(1);
        let outcome = fence.raise_to_floor(&name, token, floor, limit).await.unwrap();
        assert_eq!(outcome, RaiseOutcome::Raised);
        fence.raise_to_floor(&name, floor, token, limit).await.unwrap_err();
    }
}
