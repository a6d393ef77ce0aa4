//! What can be wrong when a store is opened.

use std::sync::Arc;
use std::time::Duration;

use leasehold_conformance::{CaseResult, Failure};
use leasehold_core::{ErrorKind, ReleaseOutcome};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use super::Redis;
use super::nodes::Nodes;
use super::own::{LONG, fresh, name, open, presence, refusal};
use super::place::Place;

pub(super) async fn users_have_the_rights_that_the_page_lists(backend: Arc<Redis>) -> CaseResult {
    backend.needs_containers()?;
    let (place, namespace) = (Place::start(backend.image, &[]).await?, fresh());
    let keys = format!("~{namespace}:lock:* ~{namespace}:instance:*");
    let channel = format!("&{namespace}:hints");
    // The line of the operator's page.
    let line = "ACL SETUSER leasehold reset on >secret KEYS CHANNEL -@all +eval +evalsha +time \
                +hgetall +hset +hdel +set +get +pttl +del +publish +subscribe +unsubscribe +ping \
                +scan +role";
    let line = line.replace("KEYS", &keys).replace("CHANNEL", &channel);
    place.run(&line.split_whitespace().collect::<Vec<_>>()).await?;
    let url = place.url_as("leasehold", "secret");
    // A server's role may also be kept from users.
    for change in ["+role", "-role"] {
        place.run(&["ACL", "SETUSER", "leasehold", change]).await?;
        let client = open(&url, &namespace).await?;
        let _hints = client.watch().await?;
        let taken = client.take(&name("job"), LONG).await?;
        client.names("").await?;
        client.give_back(&taken).await?;
        let here = presence();
        client.store().announce(&here, LONG).await?;
        assert_eq!(client.store().instances().await?.len(), 1);
        client.store().withdraw(here.holder.instance).await?;
        assert_eq!(client.store().instances().await?, []);
    }
    // Without the rights that are for instances alone, locks work all the same.
    let client = open(&url, &namespace).await?;
    let here = presence();
    for right in ["set", "get", "pttl", "del"] {
        client.store().announce(&here, LONG).await?;
        place.run(&["ACL", "SETUSER", "leasehold", &format!("-{right}")]).await?;
        let announced = client.store().announce(&here, LONG).await;
        let known = client.store().instances().await.map(drop);
        let withdrawn = client.store().withdraw(here.holder.instance).await;
        let errors: Vec<_> =
            [announced, known, withdrawn].into_iter().filter_map(Result::err).collect();
        assert!(!errors.is_empty(), "{right} is not needed");
        assert!(errors.iter().all(|error| error.kind() == ErrorKind::Denied), "{errors:?}");
        let taken = client.take(&name("job"), LONG).await?;
        client.give_back(&taken).await?;
        place.run(&["ACL", "SETUSER", "leasehold", &format!("+{right}")]).await?;
    }
    let wrong = place.url_as("leasehold", "wrong");
    let other_namespace = refusal(&url).await;
    place.run(&["ACL", "SETUSER", "default", "resetpass", ">other"]).await?;
    let none = (refusal(place.url()).await, refusal(&format!("{}/1", place.url())).await);
    for (error, said) in [refusal(&wrong).await, other_namespace, none.0, none.1] {
        assert_eq!(error.kind(), ErrorKind::Denied, "{said}");
    }
    Ok(())
}

pub(super) async fn a_database_that_there_is_not_is_named(backend: Arc<Redis>) -> CaseResult {
    let place = backend.place().await?;
    let (error, said) = refusal(&format!("redis://{}/9999", place.address())).await;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{said}");
    assert!(error.to_string().contains("database"), "{said}");
    Ok(())
}

pub(super) async fn protected_mode_is_named(backend: Arc<Redis>) -> CaseResult {
    let nodes = Nodes::new(&backend).await?;
    nodes.start(7001, "--protected-mode yes").await?;
    let (error, said) = refusal(&nodes.url(7001)).await;
    // It closes the connection right after it said so, and that may be noticed first.
    assert!(matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unavailable), "{said}");
    assert!(error.to_string().contains("protected mode"), "{said}");
    Ok(())
}

pub(super) async fn a_replica_is_refused(backend: Arc<Redis>) -> CaseResult {
    let nodes = Nodes::new(&backend).await?;
    nodes.start(7001, "").await?;
    nodes.start(7002, &format!("--replicaof {} 7001", nodes.host)).await?;
    nodes.until(7001, &["INFO", "replication"], "state=online").await?;
    for writable in ["no", "yes"] {
        let read_only = if writable == "yes" { "no" } else { "yes" };
        nodes.ask(7002, &["CONFIG", "SET", "replica-read-only", read_only]).await?;
        let (error, said) = refusal(&nodes.url(7002)).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "writable: {writable}: {said}");
        assert!(error.to_string().contains("name the primary"), "{said}");
    }
    // As when the primary becomes a replica while the store is open.
    let namespace = fresh();
    nodes.start(7003, "").await?;
    let client = open(&nodes.url(7003), &namespace).await?;
    let taken = client.take(&name("job"), LONG).await?;
    nodes.ask(7003, &["REPLICAOF", &nodes.host, "7001"]).await?;
    match client.store().release(&taken.name, taken.lease).await {
        Err(error) => assert!(error.is_transient(), "{error:?}"),
        // It took over the data of its primary already, which know nothing of the lease.
        Ok(outcome) => assert_eq!(outcome, ReleaseOutcome::NotHeld),
    }
    nodes.ask(7003, &["REPLICAOF", "NO", "ONE"]).await?;
    client.take(&name("other"), LONG).await?;
    Ok(())
}

/// How a server that is none behaves.
#[derive(Clone, Copy)]
enum Stranger {
    Says(&'static [u8]),
    Closes,
    IsSilent,
}

async fn serve(listener: TcpListener, stranger: Stranger) {
    while let Ok((mut connection, _)) = listener.accept().await {
        match stranger {
            Stranger::Says(text) => {
                _ = connection.write_all(text).await;
                tokio::spawn(async move {
                    sleep(Duration::from_secs(1)).await;
                    drop(connection);
                });
            }
            Stranger::Closes => drop(connection),
            Stranger::IsSilent => {
                tokio::spawn(async move {
                    sleep(LONG).await;
                    drop(connection);
                });
            }
        }
    }
}

pub(super) async fn what_is_no_redis_server_is_named(_: Arc<Redis>) -> CaseResult {
    let mysql = b"\x4a\0\0\0\x0a8.4.0\0\x08\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15\0";
    let strangers = [
        (Stranger::Says(mysql), "speak as Redis"),
        (Stranger::Says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "speak as Redis"),
        (Stranger::Closes, "is it up"),
        (Stranger::IsSilent, "did not answer"),
    ];
    for (stranger, part) in strangers {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(serve(listener, stranger));
        let url = format!("redis://app:secret@{address}");
        let refused = timeout(LONG / 2, refusal(&url)).await;
        let (error, said) = refused.map_err(|_| Failure::new("opening never ends"))?;
        serving.abort();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{said}");
        assert!(error.to_string().contains(&address.to_string()), "{said}");
        assert!(error.to_string().contains(part), "{said}");
    }
    Ok(())
}
