//! These cases cover many waiters in one process, and the connections that they need.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use leasehold::mongodb::MongoStore;
use leasehold_conformance::expect::{extended, granted, held};
use leasehold_conformance::{Backend, CaseResult, Client};
use leasehold_core::{
    DisableOptions, LeaseId, LockName, LockStore, LockStoreExt, Reason, RenewOptions, Settings,
};
use leasehold_test_servers::catalog::MONGODB;
use leasehold_test_servers::{LinkBehaviour, Proxy};
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::support::{LIMIT, TTL, new_locks, new_namespace};
use crate::kept::{self, Kept};
use crate::mongodb::backend::{MongoDb, options};
use crate::mongodb::endpoint::Endpoint;
use crate::mongodb::probes::application;

/// A single queue with this many waiters and this delay would take longer than any call may.
const WAITERS: usize = 500;
const DELAY: Duration = Duration::from_millis(50);
const NAMES: usize = 20;

pub(super) async fn waiters_do_not_delay_heartbeats(this: Arc<MongoDb>) -> CaseResult {
    let (endpoint, namespace) = (this.endpoint().await?, new_namespace()?);
    let proxy = Proxy::start(endpoint.address()).await?;
    let url = endpoint.url_by(&proxy.address());
    let store: Arc<dyn LockStore> =
        Arc::new(MongoStore::connect(&url, &options(&namespace)).await?);
    let client = Client::new(Arc::clone(&store));
    let mut leases = Vec::new();
    for number in 0..NAMES {
        let taken = client.acquire_free(&LockName::new(format!("job {number}"))?, TTL).await?;
        leases.push(RenewOptions::new(taken.name, taken.lease, TTL));
    }
    proxy.set(LinkBehaviour::Slow(DELAY));
    let ended = Arc::new(AtomicBool::new(false));
    let waiters: Vec<_> = (0..WAITERS)
        .map(|number| {
            let (client, ended) = (client.clone(), Arc::clone(&ended));
            let name = leases[number % NAMES].name.clone();
            tokio::spawn(async move {
                while !ended.load(Ordering::SeqCst) {
                    // If the attempt was refused, or too many calls are waiting, it is repeated.
                    let request = client.options(LeaseId::new(), TTL);
                    _ = client.store().acquire(&name, &request).await;
                }
            })
        })
        .collect();
    for _ in 0..10 {
        store.renew(&leases).await?.into_iter().for_each(|outcome| _ = extended(outcome));
    }
    // Neither an operator's calls nor a release are delayed.
    client.store().enable(&leases[0].name).await?;
    let disable = DisableOptions::new(Reason::new("upkeep")?);
    for _ in 0..4 {
        client.store().disable(&leases[1].name, &disable).await?;
    }
    client.store().enable(&leases[1].name).await?;
    client.store().release(&leases[0].name, leases[0].lease).await?;
    ended.store(true, Ordering::SeqCst);
    proxy.set(LinkBehaviour::Pass);
    for waiter in waiters {
        waiter.await?;
    }
    Ok(this.clean(&namespace).await?)
}

/// Returns the commands by their names.
type Commands = Arc<Mutex<HashMap<String, usize>>>;

pub(super) async fn a_retry_of_a_refused_name_reads_first(this: Arc<MongoDb>) -> CaseResult {
    let (other, _, namespace) = new_locks(&this).await?;
    let endpoint = this.endpoint().await?;
    let commands = Commands::default();
    let counted = Arc::clone(&commands);
    let handler = EventHandler::callback(move |event: CommandEvent| {
        if let CommandEvent::Started(event) = event {
            let mut commands = counted.lock();
            *commands.entry(event.command_name).or_default() += 1;
        }
    });
    let set = |options: &mut mongodb::options::ClientOptions| {
        options.command_event_handler = Some(handler);
    };
    let database = application(endpoint.url(), set).await?;
    let store = MongoStore::from_database(database, &options(&namespace)).await?;
    let client = Client::new(Arc::new(store));
    let (name, job) = (LockName::new("job")?, LockName::new("off")?);
    let taken = other.acquire_free(&name, TTL).await?;
    other.disable(&job, "upkeep").await?;
    let ask = async |name: &LockName| {
        let request = client.options(LeaseId::new(), TTL);
        client.store().acquire(name, &request).await
    };
    held(ask(&name).await?);
    ask(&job).await?;
    commands.lock().clear();
    for _ in 0..10 {
        assert_eq!(held(ask(&name).await?).token, taken.token);
        ask(&job).await?;
    }
    let counts = commands.lock().clone();
    assert_eq!(counts, HashMap::from([("aggregate".to_owned(), 20)]));
    // No decision depends on the remembered names.
    other.release_held(&taken).await?;
    other.enable(&job).await?;
    assert!(granted(ask(&name).await?).token > taken.token);
    granted(ask(&job).await?);
    Ok(this.clean(&namespace).await?)
}

/// If the server has applied a grant whose outcome this client does not know, that grant is not
/// reported from a read: a read may show a write that no majority has.
pub(super) async fn a_grant_is_not_reported_from_a_read(this: Arc<MongoDb>) -> CaseResult {
    let (other, _, namespace) = new_locks(&this).await?;
    let endpoint = this.endpoint().await?;
    let concerns = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&concerns);
    let handler = EventHandler::callback(move |event: CommandEvent| {
        if let CommandEvent::Started(event) = event
            && event.command_name == "findAndModify"
        {
            let concern = event.command.get_document("writeConcern");
            let w = concern.and_then(|concern| concern.get_str("w")).unwrap_or_default();
            seen.lock().push(w.to_owned());
        }
    });
    let set = |options: &mut mongodb::options::ClientOptions| {
        options.command_event_handler = Some(handler);
    };
    let database = application(endpoint.url(), set).await?;
    let client =
        Client::new(Arc::new(MongoStore::from_database(database, &options(&namespace)).await?));
    let (name, lease) = (LockName::new("job")?, LeaseId::new());
    let taken = other.acquire_free(&name, TTL).await?;
    let request = client.options(lease, TTL);
    held(client.store().acquire(&name, &request).await?);
    other.release_held(&taken).await?;
    let first = granted(other.store().acquire(&name, &request).await?);
    concerns.lock().clear();
    let again = granted(client.store().acquire(&name, &request).await?);
    assert_eq!(again.token, first.token);
    assert!(again.left <= TTL);
    let sent = concerns.lock().clone();
    assert_eq!(sent, ["majority"], "the grant was reported from a read");
    extended(client.store().renew_one(&name, lease, TTL).await?);
    Ok(this.clean(&namespace).await?)
}

pub(super) async fn silent_connections_lose_no_lease(this: Arc<MongoDb>) -> CaseResult {
    let (endpoint, namespace) = (this.endpoint().await?, new_namespace()?);
    let proxy = Proxy::start(endpoint.address()).await?;
    let url = endpoint.url_by(&proxy.address());
    let store = Arc::new(MongoStore::connect(&url, &options(&namespace)).await?);
    kept::silent_connections(store, &[proxy]).await?;
    Ok(this.clean(&namespace).await?)
}

/// Returns the number of open connections to the server, from the system's own table.
async fn connections(endpoint: &Endpoint) -> CaseResult<usize> {
    let table = endpoint.server()?.run(&["cat", "/proc/net/tcp", "/proc/net/tcp6"]).await?;
    let port = format!(":{:04X}", MONGODB.port);
    let established = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&port)) && fields.nth(1) == Some("01")
    };
    Ok(table.lines().filter(established).count())
}

/// A store's client monitors each server with one connection.
const MONITORS: usize = 1;

/// The test's own client opens another connection for monitoring after some time.
const OWN: usize = 1;

pub(super) async fn connections_are_bounded_and_closed_when_idle(_: Arc<MongoDb>) -> CaseResult {
    let endpoint = Endpoint::start(&MONGODB).await?;
    endpoint.version().await?;
    let before = connections(&endpoint).await?;
    assert!(before > 0, "the table is not that of the server");
    let namespace = new_namespace()?;
    let url = format!("{}&maxIdleTimeMS=500", endpoint.url());
    let limited = options(&namespace).with_max_connections("1".parse().ok());
    for (open_options, most) in [(limited, 3), (options(&namespace), 16)] {
        let store = MongoStore::connect(&url, &open_options).await?;
        let client = Client::new(Arc::new(store));
        let hints = client.watch().await?;
        let names: Vec<_> = (0..40)
            .map(|number| LockName::new(format!("job {number}")))
            .collect::<Result<_, _>>()?;
        for _ in 0..5 {
            let calls = names.iter().map(async |name| {
                let taken = client.acquire_free(name, TTL).await?;
                client.release_held(&taken).await
            });
            join_all(calls).await.into_iter().collect::<CaseResult>()?;
            let open = connections(&endpoint).await? - before;
            assert!(open <= most + MONITORS + OWN, "{open} connections");
        }
        // Idle connections are closed. One is left, and that of the watch.
        let begun = Instant::now();
        loop {
            let open = connections(&endpoint).await? - before;
            if open <= 2 + MONITORS + OWN {
                break;
            }
            assert!(begun.elapsed() < LIMIT, "{open} connections are kept");
            sleep(Duration::from_millis(100)).await;
        }
        drop(hints);
        // Heartbeats have their own client, which also has a watch.
        let kept = Kept::start(Arc::clone(client.store()), Settings::new()).await?;
        let begun = Instant::now();
        loop {
            let open = connections(&endpoint).await? - before;
            if open <= 3 + 2 * MONITORS + OWN {
                break;
            }
            assert!(begun.elapsed() < LIMIT, "{open} connections are kept");
            sleep(Duration::from_millis(100)).await;
        }
        kept.check();
        kept.end().await?;
        drop(client);
        let begun = Instant::now();
        while connections(&endpoint).await? > before + OWN {
            assert!(begun.elapsed() < LIMIT, "connections outlive their store");
            sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}
