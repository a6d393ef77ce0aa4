//! The term changes many times while writers are paused, killed and slow.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use leasehold_fence::{Error, Namespace};
use leasehold_test_servers::{Image, Server, catalog, pgbouncer, skipped, until_ready};
use tokio::time::sleep;

use crate::data::{Data, Postgres, Sqlite};
use crate::writer_process::{Endpoint, Reports, WriterProcess};

const WRITERS: usize = 4;

/// This is the number of changes of term, and of transactions in each term, unless the environment
/// variable has another one.
const TERMS: u64 = 10;

/// A raise that takes longer is assumed to be blocked by the paused writer.
const BLOCKED: Duration = Duration::from_millis(500);

/// A call that would otherwise wait forever fails after this time. A MongoDB that the test has not
/// started ends the transaction of a killed process only after a minute.
const LONG: Duration = Duration::from_secs(180);

/// Puts the fence on that server under stress.
pub(crate) fn on_server<D: Data>(image: &Image) {
    if skipped(image.name) {
        eprintln!("{}: skipped", image.name);
        return;
    }
    block_on(async {
        let server = match image.given_url() {
            Some(_) => None,
            None => Some(Server::start(image).await.unwrap()),
        };
        let address = server.as_ref().map(Server::address).unwrap_or_default();
        let url = image.given_url().unwrap_or_else(|| image.url_at(&address));
        let namespace = namespace();
        let data = until_ready(|| async {
            if let Some(server) = &server {
                catalog::prepare(image, server).await;
            }
            D::open(&url, &namespace).await
        });
        let data = data.await.unwrap();
        let endpoint = Endpoint { server: image.name, own: server.is_some(), url, namespace };
        Stress::new(endpoint, data).run().await;
    });
}

/// Puts the fence on PostgreSQL behind PgBouncer in transaction mode under stress. All statements
/// go through the pooler.
pub(crate) fn behind_pgbouncer() {
    if skipped(catalog::POSTGRES.name) {
        eprintln!("pgbouncer: skipped");
        return;
    }
    block_on(async {
        let Some(server) = pgbouncer::start_in_transaction_mode().await.unwrap() else { return };
        let url = pgbouncer::IMAGE.url_at(&server.address());
        let namespace = namespace();
        let data = until_ready(|| Postgres::open(&url, &namespace)).await.unwrap();
        let endpoint = Endpoint { server: "pgbouncer", own: true, url, namespace };
        Stress::new(endpoint, data).run().await;
    });
}

/// Puts the fence in an SQLite file under stress.
pub(crate) fn on_sqlite() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}?mode=rwc", folder.path().join("app.db").display());
        let namespace = Namespace::default();
        let data = Sqlite::open(&url, &namespace).await.unwrap();
        Stress::new(Endpoint { server: "sqlite", own: true, url, namespace }, data).run().await;
    });
}

/// Returns a namespace of this process alone.
fn namespace() -> Namespace {
    Namespace::new(format!("stress_{}", std::process::id())).unwrap()
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(test);
}

fn terms() -> u64 {
    let given = std::env::var("LEASEHOLD_TEST_FENCE_TERMS");
    given.map_or(TERMS, |given| given.parse().expect("LEASEHOLD_TEST_FENCE_TERMS is a number"))
}

/// Returns the index of the writer that is not told about a term.
fn uninformed_writer(term: u64) -> usize {
    usize::try_from(term).unwrap() % WRITERS
}

struct Stress<D> {
    endpoint: Endpoint,
    data: D,
    writers: Vec<WriterProcess>,
    reports: Arc<Mutex<Reports>>,
    /// A paused or killed writer blocked a raise this many times.
    blocked: u64,
    /// The slowest raise that was not blocked by such a writer took this long.
    slowest: Duration,
}

impl<D: Data> Stress<D> {
    fn new(endpoint: Endpoint, data: D) -> Self {
        let reports = Arc::default();
        let writers = (0..WRITERS).map(|_| WriterProcess::start(&endpoint, &reports)).collect();
        Self { endpoint, data, writers, reports, blocked: 0, slowest: Duration::ZERO }
    }

    async fn run(mut self) {
        let changes = terms();
        let per_term = changes;
        // These are the entries of each term at the time when the next one had raised its fence.
        let mut entries_at_raise = BTreeMap::new();
        for term in 1..=changes + 1 {
            self.change_to(term, &mut entries_at_raise).await;
            for (at, writer) in self.writers.iter_mut().enumerate() {
                if at != uninformed_writer(term) {
                    writer.set_term(term);
                }
            }
            self.wait_for_commits(term, per_term).await;
        }
        // This kills all writers, so that no transaction can commit.
        self.writers.clear();

        let mut stale = Vec::new();
        for (term, before) in entries_at_raise {
            let after = self.data.entries(term).await;
            if after != before {
                stale.push((term, before, after));
            }
        }
        let refused = self.report(changes, stale.len());
        assert!(stale.is_empty(), "entries that were added late, by term: {stale:?}");
        assert!(refused > 0, "no transaction of an older term was refused");
        self.data.remove(changes + 1).await;
    }

    /// Prints what happened, and returns how many transactions were refused.
    fn report(&self, changes: u64, stale: usize) -> u64 {
        let reports = self.reports.lock().unwrap();
        let committed: u64 = reports.committed.values().sum();
        let (refused, failed) = (reports.refused, reports.failed);
        println!(
            "{}: {changes} changes of term, {committed} transactions committed, {refused} refused, \
             {failed} failed, {} raises waited for a paused or killed writer, the slowest other one \
             took {:?}; terms with stale commits: {stale}",
            self.endpoint.server, self.blocked, self.slowest
        );
        refused
    }

    /// Raises the fence for a term while a writer of the previous term is paused or killed, and
    /// records the entries of the previous term once `raise` has returned.
    async fn change_to(&mut self, term: u64, entries_at_raise: &mut BTreeMap<u64, u64>) {
        // This writer knows the previous term, and will not be told about this one.
        let at = uninformed_writer(term);
        let paused = term > 1 && term.is_multiple_of(3);
        if paused {
            self.writers[at].signal("-STOP");
        }
        let mut killed = term > 1 && term % 3 == 1;
        if killed {
            self.replace(at, term - 1);
        }
        let begun = Instant::now();
        let mut raised = self.raise(term, BLOCKED).await;
        if raised.is_ok() {
            self.slowest = self.slowest.max(begun.elapsed());
        }
        if let Err(Error::Blocked(_)) = raised {
            self.blocked += 1;
            // The paused writer continues and may commit, or is killed.
            if paused && term.is_multiple_of(2) {
                self.writers[at].signal("-CONT");
            } else if paused {
                self.replace(at, term - 1);
                killed = true;
            }
            if killed && self.endpoint.own {
                self.data.end_transactions().await;
            }
            raised = self.raise(term, LONG).await;
        }
        raised.unwrap();
        if term > 1 {
            entries_at_raise.insert(term - 1, self.data.entries(term - 1).await);
        }
        if paused {
            self.writers[at].signal("-CONT");
        }
    }

    /// Raises the fence, and repeats this after a conflict.
    async fn raise(&mut self, term: u64, limit: Duration) -> leasehold_fence::Result<()> {
        let begun = Instant::now();
        loop {
            match self.data.raise(&crate::term(term), limit).await {
                Err(Error::Conflict(_)) if begun.elapsed() < LONG => {}
                raised => return raised,
            }
        }
    }

    /// Kills a writer and starts another one with that term.
    fn replace(&mut self, at: usize, term: u64) {
        let mut writer = WriterProcess::start(&self.endpoint, &self.reports);
        writer.set_term(term);
        self.writers[at] = writer;
    }

    async fn wait_for_commits(&self, term: u64, enough: u64) {
        let begun = Instant::now();
        loop {
            let (committed, failure) = {
                let reports = self.reports.lock().unwrap();
                (reports.committed_in(term), reports.last_failure.clone())
            };
            if committed >= enough {
                return;
            }
            let server = self.endpoint.server;
            assert!(begun.elapsed() < LONG, "{server}: {committed} commits of {term}: {failure}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}
