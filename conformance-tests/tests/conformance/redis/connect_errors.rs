//! These cases cover errors when a store is opened.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold::{OpenOptions, url};
use leasehold_conformance::{CaseResult, Client, Failure};
use leasehold_core::{
    DisableOutcome, EnableOutcome, ErrorKind, Hint, LeaseId, ReleaseOutcome, RenewOptions,
    RenewOutcome,
};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::time::{sleep, timeout};

use super::Redis;
use super::endpoint::Endpoint;
use super::nodes::Nodes;
use super::support::{LONG, fresh, name, open, presence, refusal};

pub(super) async fn the_documented_permissions_are_sufficient(backend: Arc<Redis>) -> CaseResult {
    backend.needs_containers()?;
    let (endpoint, namespace) = (Endpoint::start(backend.image, &[]).await?, fresh());
    let keys = format!("~{namespace}:lock:* ~{namespace}:instance:*");
    let channel = format!("&{namespace}:hints");
    // This is the line of the documentation for operators.
    let line = "ACL SETUSER leasehold reset on >secret KEYS CHANNEL -@all +eval +evalsha +time \
                +hgetall +hset +hdel +set +get +pttl +del +publish +subscribe +unsubscribe +ping \
                +scan +role";
    let line = line.replace("KEYS", &keys).replace("CHANNEL", &channel);
    endpoint.run(&line.split_whitespace().collect::<Vec<_>>()).await?;
    let url = endpoint.url_as("leasehold", "secret");
    // The permission for `ROLE` may also be missing.
    for change in ["+role", "-role"] {
        endpoint.run(&["ACL", "SETUSER", "leasehold", change]).await?;
        let client = open(&url, &namespace).await?;
        let _hints = client.watch().await?;
        let taken = client.acquire_free(&name("job"), LONG).await?;
        client.names("").await?;
        client.release_held(&taken).await?;
        let here = presence();
        client.store().announce(&here, LONG).await?;
        assert_eq!(client.store().instances().await?.len(), 1);
        client.store().withdraw(here.holder.instance).await?;
        assert_eq!(client.store().instances().await?, []);
    }
    // Without the permissions that only instances need, locks still work.
    let client = open(&url, &namespace).await?;
    let here = presence();
    for right in ["set", "get", "pttl", "del"] {
        client.store().announce(&here, LONG).await?;
        endpoint.run(&["ACL", "SETUSER", "leasehold", &format!("-{right}")]).await?;
        let announced = client.store().announce(&here, LONG).await;
        let known = client.store().instances().await.map(drop);
        let withdrawn = client.store().withdraw(here.holder.instance).await;
        let errors: Vec<_> =
            [announced, known, withdrawn].into_iter().filter_map(Result::err).collect();
        assert!(!errors.is_empty(), "{right} is not needed");
        assert!(errors.iter().all(|error| error.kind() == ErrorKind::Denied), "{errors:?}");
        let taken = client.acquire_free(&name("job"), LONG).await?;
        client.release_held(&taken).await?;
        endpoint.run(&["ACL", "SETUSER", "leasehold", &format!("+{right}")]).await?;
    }
    let wrong = endpoint.url_as("leasehold", "wrong");
    let other_namespace = refusal(&url).await;
    endpoint.run(&["ACL", "SETUSER", "default", "resetpass", ">other"]).await?;
    let none = (refusal(endpoint.url()).await, refusal(&format!("{}/1", endpoint.url())).await);
    for (error, details) in [refusal(&wrong).await, other_namespace, none.0, none.1] {
        assert_eq!(error.kind(), ErrorKind::Denied, "{details}");
    }
    Ok(())
}

pub(super) async fn operations_succeed_without_permission_to_publish(
    backend: Arc<Redis>,
) -> CaseResult {
    backend.needs_containers()?;
    let (endpoint, namespace) = (Endpoint::start(backend.image, &[]).await?, fresh());
    let line = format!(
        "ACL SETUSER leasehold reset on >secret ~{namespace}:lock:* &{namespace}:hints -@all +eval \
         +evalsha +time +hgetall +hset +hdel +scan"
    );
    endpoint.run(&line.split_whitespace().collect::<Vec<_>>()).await?;
    let client = open(&endpoint.url_as("leasehold", "secret"), &namespace).await?;
    let taken = client.acquire_free(&name("job"), LONG).await?;
    assert_eq!(client.disable(&taken.name, "upkeep").await?, DisableOutcome::Disabled);
    client.release_held(&taken).await?;
    assert_eq!(client.enable(&taken.name).await?, EnableOutcome::Enabled);
    // Without the permission to write, everything can still be read, and no write is done in part.
    endpoint.run(&["ACL", "SETUSER", "leasehold", "-hset"]).await?;
    let client = open(&endpoint.url_as("leasehold", "secret"), &namespace).await?;
    let before = client.get(&taken.name).await?;
    assert_eq!(client.names("").await?, [name("job")]);
    let options = client.options(LeaseId::new(), LONG);
    let acquired = client.store().acquire(&taken.name, &options).await.map(drop);
    let disabled = client.disable(&taken.name, "upkeep").await.map(drop);
    for refused in [acquired, disabled] {
        let error = refused.expect_err("hset is not allowed");
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    }
    assert_eq!(client.get(&taken.name).await?, before);
    // A missing permission to read is named in the error.
    endpoint.run(&["ACL", "SETUSER", "leasehold", "-hgetall"]).await?;
    let error = open(&endpoint.url_as("leasehold", "secret"), &namespace).await;
    let error = error.expect_err("hgetall is not allowed");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.to_string().contains("+hgetall"), "{error}");
    Ok(())
}

pub(super) async fn a_key_without_permission_costs_no_other_renewal(
    backend: Arc<Redis>,
) -> CaseResult {
    backend.needs_containers()?;
    let (endpoint, namespace) = (Endpoint::start(backend.image, &[]).await?, fresh());
    // The check when a store opens uses the key of the empty name.
    let line = format!(
        "ACL SETUSER leasehold reset on >secret ~{namespace}:lock: ~{namespace}:lock:mine* \
         &{namespace}:hints -@all +eval +evalsha +time +hgetall +hset +hdel +publish +ping +scan"
    );
    endpoint.run(&line.split_whitespace().collect::<Vec<_>>()).await?;
    let client = open(endpoint.url(), &namespace).await?;
    let mut batch = Vec::new();
    for name in ["mine 1", "other", "mine 2"].map(name) {
        let taken = client.acquire_free(&name, LONG).await?;
        batch.push(RenewOptions::new(taken.name, taken.lease, LONG));
    }
    let client = open(&endpoint.url_as("leasehold", "secret"), &namespace).await?;
    let renewed = client.store().renew(&batch).await?;
    assert!(
        matches!(
            &renewed[..],
            [
                RenewOutcome::Extended { .. },
                RenewOutcome::Unknown { .. },
                RenewOutcome::Extended { .. }
            ]
        ),
        "{renewed:?}"
    );
    Ok(())
}

pub(super) async fn renamed_commands_are_named_in_the_error(backend: Arc<Redis>) -> CaseResult {
    let nodes = Nodes::new(&backend).await?;
    let commands = ["EVALSHA", "EVAL", "TIME", "HGETALL", "HSET", "HDEL", "PUBLISH", "SCAN"];
    for (port, command) in (7001..).zip(commands) {
        nodes.start(port, &format!("--rename-command {command} other")).await?;
        let (error, details) = refusal(&nodes.url(port)).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{command}: {details}");
        let expected = format!("does not know the command {command};");
        assert!(error.to_string().contains(&expected), "{command}: {details}");
        assert!(error.to_string().contains("rename-command"), "{command}: {details}");
    }
    // A store needs this command only if its writes wait for replicas.
    nodes.start(7010, "--rename-command WAIT other").await?;
    open(&nodes.url(7010), &fresh()).await?;
    let (error, details) = refusal(&format!("{}?wait_replicas=1", nodes.url(7010))).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{details}");
    assert!(error.to_string().contains("does not know the command WAIT;"), "{details}");
    Ok(())
}

pub(super) async fn a_unix_socket_can_be_used(backend: Arc<Redis>) -> CaseResult {
    backend.needs_containers()?;
    let (endpoint, namespace) = (backend.endpoint().await?, fresh());
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("redis.sock");
    let (listener, address) = (UnixListener::bind(&path)?, endpoint.address().to_owned());
    let serving = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let address = address.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(address).await?;
                copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    for scheme in ["redis+unix", "unix"] {
        let url = format!("{scheme}://{}?db=3", path.display());
        let options = OpenOptions::default().with_namespace(namespace.clone());
        let store = url::open(&url, &options).await?;
        assert_eq!(store.label(), format!("redis+unix://{}", path.display()));
        let client = Client::new(store);
        let mut hints = client.watch().await?;
        let taken = client.acquire_free(&name("job"), LONG).await?;
        client.release_held(&taken).await?;
        let hint = timeout(LONG, hints.next()).await.ok().flatten();
        assert_eq!(hint, Some(Hint::Name(name("job"))));
    }
    serving.abort();
    let missing = format!("redis+unix://{}", folder.path().join("other.sock").display());
    let (error, details) = refusal(&missing).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{details}");
    Ok(())
}

pub(super) async fn a_missing_database_is_named_in_the_error(backend: Arc<Redis>) -> CaseResult {
    let endpoint = backend.endpoint().await?;
    let (error, details) = refusal(&format!("redis://{}/9999", endpoint.address())).await;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{details}");
    assert!(error.to_string().contains("database"), "{details}");
    Ok(())
}

pub(super) async fn protected_mode_is_named_in_the_error(backend: Arc<Redis>) -> CaseResult {
    let nodes = Nodes::new(&backend).await?;
    nodes.start(7001, "--protected-mode yes").await?;
    let (error, details) = refusal(&nodes.url(7001)).await;
    // The server closes the connection after its reply, and the client may notice that first.
    assert!(matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unavailable), "{details}");
    assert!(error.to_string().contains("protected mode"), "{details}");
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
        let (error, details) = refusal(&nodes.url(7002)).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "writable: {writable}: {details}");
        assert!(error.to_string().contains("use the primary"), "{details}");
    }
    // The primary became a replica while the store was open.
    let namespace = fresh();
    nodes.start(7003, "").await?;
    let client = open(&nodes.url(7003), &namespace).await?;
    let taken = client.acquire_free(&name("job"), LONG).await?;
    nodes.ask(7003, &["REPLICAOF", &nodes.host, "7001"]).await?;
    match client.store().release(&taken.name, taken.lease).await {
        Err(error) => assert!(error.is_transient(), "{error:?}"),
        // The replica already has the data of its primary, in which there is no such lease.
        Ok(outcome) => assert_eq!(outcome, ReleaseOutcome::NotHeld),
    }
    nodes.ask(7003, &["REPLICAOF", "NO", "ONE"]).await?;
    client.acquire_free(&name("other"), LONG).await?;
    Ok(())
}

/// This is a server at the address that is not Redis.
#[derive(Clone, Copy)]
enum FakeServer {
    Says(&'static [u8]),
    Closes,
    IsSilent,
}

async fn serve(listener: TcpListener, server: FakeServer) {
    while let Ok((mut connection, _)) = listener.accept().await {
        match server {
            FakeServer::Says(text) => {
                _ = connection.write_all(text).await;
                tokio::spawn(async move {
                    sleep(Duration::from_secs(1)).await;
                    drop(connection);
                });
            }
            FakeServer::Closes => drop(connection),
            FakeServer::IsSilent => {
                tokio::spawn(async move {
                    sleep(LONG).await;
                    drop(connection);
                });
            }
        }
    }
}

pub(super) async fn a_server_that_is_not_redis_is_refused(_: Arc<Redis>) -> CaseResult {
    let mysql = b"\x4a\0\0\0\x0a8.4.0\0\x08\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15\0";
    let fake_servers = [
        (FakeServer::Says(mysql), "speak the Redis protocol"),
        (FakeServer::Says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "speak the Redis protocol"),
        (FakeServer::Closes, "is it up"),
        (FakeServer::IsSilent, "did not answer"),
    ];
    for (server, part) in fake_servers {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(serve(listener, server));
        let url = format!("redis://app:secret@{address}");
        let refused = timeout(LONG / 2, refusal(&url)).await;
        let (error, details) = refused.map_err(|_| Failure::new("opening never ends"))?;
        serving.abort();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{details}");
        assert!(error.to_string().contains(&address.to_string()), "{details}");
        assert!(error.to_string().contains(part), "{details}");
    }
    Ok(())
}
