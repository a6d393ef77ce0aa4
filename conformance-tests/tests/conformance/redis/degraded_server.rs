//! These cases cover servers that have no memory left, are slow, or were just started.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leasehold_conformance::expect::{already_disabled, extended, granted, not_extended};
use leasehold_conformance::{CaseResult, spawn};
use leasehold_core::{
    DisableOutcome, EnableOutcome, ErrorKind, LeaseId, LockStoreExt, RenewOptions,
};
use leasehold_test_servers::{LinkBehaviour, Proxy};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::Redis;
use super::endpoint::Endpoint;
use super::nodes::{Nodes, retry_while_transient};
use super::support::{LONG, fresh, name, open};

pub(super) async fn leases_are_kept_when_the_server_is_out_of_memory(
    backend: Arc<Redis>,
) -> CaseResult {
    backend.needs_containers()?;
    let (endpoint, namespace) = (Endpoint::start(backend.image, &[]).await?, fresh());
    let client = open(endpoint.url(), &namespace).await?;
    let taken = client.acquire_free(&name("job"), LONG).await?;
    let second = client.acquire_free(&name("second"), LONG).await?;
    endpoint.run(&["CONFIG", "SET", "maxmemory", "1"]).await?;
    let options = client.options(LeaseId::new(), LONG);
    let refused = client.store().acquire(&name("other"), &options).await.expect_err("no memory");
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    assert!(refused.to_string().contains("maxmemory"), "{refused}");
    // A holder continues, and can release its lock.
    extended(client.store().renew_one(&taken.name, taken.lease, LONG).await?);
    let batch = [&taken, &second].map(|held| (held.name.clone(), held.lease));
    let batch = batch.map(|(name, lease)| RenewOptions::new(name, lease, LONG));
    for outcome in client.store().renew(&batch).await? {
        extended(outcome);
    }
    let again = client.store().acquire(&taken.name, &client.options(taken.lease, LONG)).await?;
    assert_eq!(granted(again).token, taken.token);
    assert_eq!(client.get(&name("other")).await?, None);
    // A disable works for a name that is held and for an unknown one.
    for name in [&taken.name, &name("third")] {
        assert_eq!(client.disable(name, "upkeep").await?, DisableOutcome::Disabled);
        already_disabled(client.disable(name, "upkeep").await?);
    }
    not_extended(client.store().renew_one(&taken.name, taken.lease, LONG).await?);
    client.release_held(&taken).await?;
    assert_eq!(client.enable(&taken.name).await?, EnableOutcome::Enabled);
    let record = client.get(&taken.name).await?.expect("the record is kept");
    assert_eq!(record.token, Some(taken.token));
    endpoint.run(&["CONFIG", "SET", "maxmemory", "0"]).await?;
    client.acquire_free(&name("other"), LONG).await?;
    Ok(())
}

pub(super) async fn a_loading_server_is_unavailable_until_it_has_loaded(
    backend: Arc<Redis>,
) -> CaseResult {
    let (nodes, namespace) = (Nodes::new(&backend).await?, fresh());
    nodes.start(7001, "").await?;
    let client = open(&nodes.url(7001), &namespace).await?;
    let taken = client.acquire_free(&name("job"), LONG).await?;
    let fill = "for i = 1, 4000 do redis.call('SET', 'filler' .. i, i) end";
    nodes.ask(7001, &["EVAL", fill, "0"]).await?;
    nodes.ask(7001, &["SAVE"]).await?;
    nodes.signal(7001, "KILL").await?;
    // Loading takes some milliseconds for each key, and the server answers its clients in between.
    // On a busy machine it may have loaded all keys before the first request.
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
    assert!(format!("{error:?} {error}").contains("is loading its data"), "{error:?}");
    sleep(Duration::from_millis(100)).await;
    let one = retry_while_transient(|| client.store().renew_one(&taken.name, taken.lease, LONG));
    extended(one.await?);
    Ok(())
}

/// Replies to every script with that error, except to the one that a store runs when it opens.
async fn refuse(client: TcpStream, error: &str) -> std::io::Result<()> {
    let (mut checked, mut client) = (false, BufReader::new(client));
    loop {
        let mut line = String::new();
        let mut words = Vec::new();
        client.read_line(&mut line).await?;
        let Some(count) = line.trim().strip_prefix('*').and_then(|n| n.parse::<usize>().ok())
        else {
            return Ok(());
        };
        for _ in 0..count {
            line.clear();
            client.read_line(&mut line).await?;
            let length = line.trim().trim_start_matches('$').parse().unwrap_or(0);
            let mut word = vec![0_u8; length + 2];
            client.read_exact(&mut word).await?;
            words.push(String::from_utf8_lossy(&word[..length]).into_owned());
        }
        let answer = match words[0].as_str() {
            "EVALSHA" if words.iter().any(|word| word.ends_with(":lock:")) => {
                checked = true;
                "*3\r\n$7\r\nchecked\r\n*0\r\n*0\r\n".to_owned()
            }
            "EVALSHA" => format!("-{error}\r\n"),
            "SCAN" if checked => "*2\r\n$1\r\n0\r\n*0\r\n".to_owned(),
            "ROLE" => "*1\r\n$6\r\nmaster\r\n".to_owned(),
            _ => "+OK\r\n".to_owned(),
        };
        client.write_all(answer.as_bytes()).await?;
    }
}

pub(super) async fn an_unusable_connection_is_replaced(_: Arc<Redis>) -> CaseResult {
    for (error, left) in [
        ("READONLY You can't write against a read only replica.", true),
        ("MASTERDOWN Link with MASTER is down", true),
        ("LOADING Redis is loading the dataset in memory", true),
        ("MISCONF Redis is configured to save RDB snapshots, but it is unable to", true),
        ("NOREPLICAS Not enough good replicas to write.", true),
        ("NOAUTH Authentication required.", true),
        ("ERR Error running script: -READONLY You can't write against a read only replica.", true),
        ("BUSY Redis is busy running a script.", false),
        ("OOM command not allowed when used memory > 'maxmemory'.", false),
        ("NOPERM this user has no permissions to run the 'hset' command", false),
    ] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("redis://{}", listener.local_addr()?);
        let connections = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&connections);
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counting.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move { refuse(client, error).await });
            }
        });
        let client = open(&url, &fresh()).await?;
        assert_eq!(connections.load(Ordering::SeqCst), 1, "{error}");
        let options = client.options(LeaseId::new(), LONG);
        for _ in 0..2 {
            let refused = client.store().acquire(&name("job"), &options).await;
            let refused = refused.expect_err("the server refuses");
            assert_ne!(refused.kind(), ErrorKind::OutcomeUnknown, "{error}: {refused:?}");
        }
        let expected = if left { 2 } else { 1 };
        assert_eq!(connections.load(Ordering::SeqCst), expected, "{error}");
        serving.abort();
    }
    Ok(())
}

pub(super) async fn a_slow_server_gets_few_connections(backend: Arc<Redis>) -> CaseResult {
    let (endpoint, namespace) = (backend.endpoint().await?, fresh());
    let proxy = Proxy::start(endpoint.address()).await?;
    let client = open(&endpoint.url_by(&proxy.address()), &namespace).await?;
    let taken = client.acquire_free(&name("job"), LONG).await?;
    // An answer takes longer than a connection may be silent.
    proxy.set(LinkBehaviour::Slow(Duration::from_millis(700)));
    let before = proxy.accepted();
    let calls = (0..40).map(|number| {
        let (client, taken) = (client.clone(), taken.clone());
        spawn(async move {
            sleep(Duration::from_millis(150) * number).await;
            Ok(client.store().renew_one(&taken.name, taken.lease, LONG).await)
        })
    });
    let (mut answered, calls) = (0, calls.collect::<Vec<_>>());
    for call in calls {
        match call.join().await? {
            Ok(outcome) => {
                extended(outcome);
                answered += 1;
            }
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
    }
    let opened = proxy.accepted() - before;
    println!("{}: {answered} of 40 answered, on {opened} more connections", backend.image.name);
    assert!(answered > 0, "a slow server counts as dead");
    assert!(opened <= 5, "{opened} connections for 40 calls");
    Ok(())
}
