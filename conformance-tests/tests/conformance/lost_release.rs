//! This case covers a release whose reply is lost after it took effect.

use std::sync::Arc;
use std::time::Duration;

use leasehold_conformance::{CaseResult, Client, Failure, spawn};
use leasehold_core::LockName;
use leasehold_test_servers::LinkBehaviour;
use tokio::time::{sleep, timeout};

use crate::proxied_link::ProxiedLink;

/// This is the limit for every step that has no other time limit.
const LIMIT: Duration = Duration::from_secs(40);

/// No case takes as long as this.
const TTL: Duration = Duration::from_secs(400);

/// The store sends the release again on another connection, where there is nothing to release. It
/// must not report that the lease was not held.
pub(crate) async fn a_release_whose_reply_is_lost_has_an_unknown_outcome(
    link: &ProxiedLink,
    direct: &Client,
) -> CaseResult {
    let client = Client::new(Arc::clone(&link.store));
    // From here on the statements are prepared.
    client.release_held(&client.acquire_free(&LockName::new("other")?, TTL).await?).await?;
    let taken = client.acquire_free(&LockName::new("job")?, TTL).await?;
    link.proxy.set(LinkBehaviour::SwallowReplies);
    let releasing = spawn({
        let (store, taken) = (Arc::clone(&link.store), taken.clone());
        async move { Ok(store.release(&taken.name, taken.lease).await) }
    });
    let arrived = async {
        while direct.lease_of(&taken.name).await?.is_some() {
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    let arrived = timeout(LIMIT, arrived).await;
    arrived.unwrap_or_else(|_| Err(Failure::new("the release does not arrive")))?;
    // The connection ends, and new ones work.
    link.proxy.set(LinkBehaviour::Pass);
    let error = releasing.join().await?.expect_err("the second release finds no lease");
    assert!(error.is_outcome_unknown(), "{error:?}");
    Ok(())
}
