//! A writer is a process that writes to the ledger for the term that it was told last.
//!
//! It reads terms from its standard input, and ends when that is closed. It reports each transaction
//! on its standard error, since the test runner prints to the standard output.

use std::env;
use std::io::stdin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use leasehold_fence::{Error, Namespace};
use tokio::time::sleep;

use crate::data::{Data, Entry, Etcd, MongoDb, MySql, Postgres, Redis, Sqlite};

pub(crate) const SERVER: &str = "LEASEHOLD_TEST_WRITER_SERVER";
pub(crate) const URL: &str = "LEASEHOLD_TEST_WRITER_URL";
pub(crate) const NAMESPACE: &str = "LEASEHOLD_TEST_WRITER_NAMESPACE";

pub(crate) const COMMITTED: &str = "committed";
pub(crate) const REFUSED: &str = "refused";
pub(crate) const FAILED: &str = "failed";

/// A writer without a term, or whose transaction did not commit, waits this long.
const IDLE: Duration = Duration::from_millis(5);

/// Runs this process as a writer if it was started as one.
pub(crate) fn run() {
    let Ok(server) = env::var(SERVER) else { return };
    let url = env::var(URL).unwrap();
    let namespace = Namespace::new(env::var(NAMESPACE).unwrap()).unwrap();
    let term = Arc::new(AtomicU64::new(0));
    thread::spawn({
        let term = Arc::clone(&term);
        move || read_terms(&term)
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match server.as_str() {
            "postgres" | "pgbouncer" => write::<Postgres>(&url, &namespace, &term).await,
            "mysql" | "mariadb" => write::<MySql>(&url, &namespace, &term).await,
            "sqlite" => write::<Sqlite>(&url, &namespace, &term).await,
            "redis" | "valkey" => write::<Redis>(&url, &namespace, &term).await,
            "mongodb" => write::<MongoDb>(&url, &namespace, &term).await,
            "etcd" => write::<Etcd>(&url, &namespace, &term).await,
            _ => panic!("unknown server {server:?}"),
        }
    });
}

fn read_terms(term: &AtomicU64) {
    for line in stdin().lines() {
        term.store(line.unwrap().parse().unwrap(), Ordering::Relaxed);
    }
    std::process::exit(0);
}

async fn write<D: Data>(url: &str, namespace: &Namespace, term: &AtomicU64) {
    let mut data = D::open(url, namespace).await.unwrap();
    // No other process has this number, so no other entry has a number that begins with it.
    let first = i64::from(std::process::id()) * 1_000_000;
    for count in 0_i64.. {
        let token = term.load(Ordering::Relaxed);
        if token == 0 {
            sleep(IDLE).await;
            continue;
        }
        let entry = Entry {
            sequence: first + count,
            pause: Duration::from_millis(count.unsigned_abs() * 7 % 20),
            slow: count % 16 == 15,
        };
        match data.write(&crate::term(token), &entry).await {
            Ok(()) => {
                eprintln!("{COMMITTED} {token}");
                continue;
            }
            Err(Error::Stale(_)) => eprintln!("{REFUSED} {token}"),
            Err(error) => eprintln!("{FAILED} {error}"),
        }
        sleep(IDLE).await;
    }
}
