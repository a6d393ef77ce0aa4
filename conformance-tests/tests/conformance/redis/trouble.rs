//! A server that has no memory left, or has just been started.

use std::sync::Arc;
use std::time::Duration;

use leasehold_conformance::CaseResult;
use leasehold_conformance::expect::extended;
use leasehold_core::{ErrorKind, LeaseId, LockStoreExt};
use tokio::time::sleep;

use super::Redis;
use super::nodes::{Nodes, patiently};
use super::own::{LONG, fresh, name, open};
use super::place::Place;

pub(super) async fn without_memory_leases_are_kept(backend: Arc<Redis>) -> CaseResult {
    backend.needs_containers()?;
    let (place, namespace) = (Place::start(backend.image, &[]).await?, fresh());
    let client = open(place.url(), &namespace).await?;
    let taken = client.take(&name("job"), LONG).await?;
    place.run(&["CONFIG", "SET", "maxmemory", "1"]).await?;
    let options = client.options(LeaseId::new(), LONG);
    let refused = client.store().acquire(&name("other"), &options).await.expect_err("no memory");
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    assert!(refused.to_string().contains("maxmemory"), "{refused}");
    // What holds a lock goes on, and gives it back.
    extended(client.store().renew_one(&taken.name, taken.lease, LONG).await?);
    assert_eq!(client.get(&name("other")).await?, None);
    client.give_back(&taken).await?;
    place.run(&["CONFIG", "SET", "maxmemory", "0"]).await?;
    client.take(&name("other"), LONG).await?;
    Ok(())
}

pub(super) async fn a_server_that_loads_is_waited_for(backend: Arc<Redis>) -> CaseResult {
    let (nodes, namespace) = (Nodes::new(&backend).await?, fresh());
    nodes.start(7001, "").await?;
    let client = open(&nodes.url(7001), &namespace).await?;
    let taken = client.take(&name("job"), LONG).await?;
    let fill = "for i = 1, 4000 do redis.call('SET', 'filler' .. i, i) end";
    nodes.ask(7001, &["EVAL", fill, "0"]).await?;
    nodes.ask(7001, &["SAVE"]).await?;
    nodes.signal(7001, "KILL").await?;
    // Some milliseconds for each key, with a look at its clients in between. On a busy machine it
    // may have loaded them before it is asked.
    let mut refused = None;
    for delay in [1000, 4000, 16_000] {
        let slowly =
            format!("--key-load-delay {delay} --loading-process-events-interval-bytes 1024");
        nodes.start(7001, &slowly).await?;
        refused = open(&nodes.url(7001), &fresh()).await.err();
        if refused.is_some() {
            break;
        }
        nodes.signal(7001, "KILL").await?;
    }
    let error = refused.expect("it is never asked while it loads");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(format!("{error:?} {error}").contains("loads its data"), "{error:?}");
    sleep(Duration::from_millis(100)).await;
    let one = patiently(|| client.store().renew_one(&taken.name, taken.lease, LONG));
    extended(one.await?);
    Ok(())
}
