//! This case covers calls that are abandoned on connections that become silent, as when a server's
//! host dies and the address moves to another: no packet arrives, and neither end is notified.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use leasehold_conformance::{CaseResult, Task, spawn};
use leasehold_core::{ErrorKind, LockName, LockStore};
use leasehold_test_servers::Proxy;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// This defines what happens to new connections in an outage.
#[derive(Clone, Copy)]
pub(crate) enum Outage {
    /// New connections are refused, because nothing listens.
    Refused,
    /// New connections are accepted and closed, as by a proxy whose server has ended.
    Closed,
}

impl Outage {
    pub(crate) const ALL: [Self; 2] = [Self::Refused, Self::Closed];

    /// Returns an address where new connections are treated in this way while the task runs.
    async fn start(self) -> CaseResult<(String, Task<()>)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let task = spawn(async move {
            if matches!(self, Self::Refused) {
                return Ok(());
            }
            loop {
                let (mut client, _) = listener.accept().await?;
                // The data that a client sends are read, because unread bytes would reset the
                // connection.
                _ = timeout(Duration::from_millis(100), client.read(&mut [0; 64])).await;
            }
        });
        Ok((address, task))
    }
}

/// Reads the name. On a busy machine the store may have further idle connections that became silent,
/// on which a call waits for its limit.
async fn read_on_a_live_connection(store: &dyn LockStore, name: &LockName) -> CaseResult {
    loop {
        match store.get(name).await {
            Ok(_) => return Ok(()),
            Err(error) if error.to_string().contains("did not answer within") => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Calls are abandoned on connections that become silent, and then nothing can be reached for some
/// time. Afterwards the store makes several calls at a time again.
///
/// The proxy leads to `server`.
pub(crate) async fn abandoned_calls_do_not_count_after_an_outage(
    store: Arc<dyn LockStore>,
    proxy: &Proxy,
    server: &str,
    outage: Outage,
) -> CaseResult {
    let name = LockName::new("job")?;
    let mut abandoned = 0;
    while abandoned < 3 {
        read_on_a_live_connection(&*store, &name).await?;
        proxy.silence_connections();
        // On a busy machine the store may notice the silence before the call ends.
        let call = timeout(Duration::from_millis(100), store.get(&name)).await;
        abandoned += usize::from(call.is_err());
    }
    let (nowhere, _listening) = outage.start().await?;
    proxy.lead_to(&nowhere);
    // On a busy machine an idle connection may be left, on which the first call hangs.
    let accepted = proxy.accepted();
    while proxy.accepted() == accepted {
        let error = store.get(&name).await.expect_err("nothing can be reached");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    }
    proxy.lead_to(server);
    read_on_a_live_connection(&*store, &name).await?;
    // While one call waits for its answer, another one is sent.
    proxy.silence_connections();
    let mut waiting = pin!(store.get(&name));
    assert!(timeout(Duration::from_millis(300), &mut waiting).await.is_err(), "it is answered");
    read_on_a_live_connection(&*store, &name).await
}
