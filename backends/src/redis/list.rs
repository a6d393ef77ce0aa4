//! The names of all locks, and other keys, from every primary.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::{FromRedisValue, Value};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::primary::Primary;
use super::record::strange;
use super::servers::Servers;
use crate::{LockName, Result};

/// How many keys a step looks at.
const STEP: u32 = 1000;

/// The names of a listing are kept this long for its next page.
const KEPT: Duration = Duration::from_secs(10);

/// The most listings whose names are kept.
const LISTINGS: usize = 4;

/// The names that one scan found, kept while a listing continues from page to page.
///
/// A page that begins where the previous one ended takes its names from the same scan, so that a
/// listing scans all keys of the database once, and not once per page.
#[derive(Debug, Default)]
pub(super) struct Listings {
    kept: Arc<Mutex<HashMap<Key, Listing>>>,
}

/// The purpose and prefix of a listing, and the name after which it continues.
type Key = (&'static str, String, LockName);

#[derive(Clone, Debug)]
struct Listing {
    names: Arc<Vec<LockName>>,
    until: Instant,
}

impl Listings {
    /// Returns the names after `after` that begin with `prefix`, in byte order.
    pub(super) async fn names(
        &self,
        servers: &Servers,
        keys: &str,
        purpose: &'static str,
        prefix: &str,
        after: Option<&LockName>,
    ) -> Result<Names> {
        let kept = after
            .and_then(|after| self.kept().remove(&(purpose, prefix.to_owned(), after.clone())));
        let names = match kept.filter(|kept| kept.until > Instant::now()) {
            Some(kept) => kept.names,
            None => Arc::new(names(servers, keys, prefix).await?.into_iter().collect()),
        };
        let next = after.map_or(0, |after| names.partition_point(|name| name <= after));
        Ok(Names { names, next, purpose, prefix: prefix.to_owned() })
    }

    /// Keeps the names for the page that begins after that name.
    pub(super) fn keep(&self, names: Names, after: &LockName) {
        let until = Instant::now() + KEPT;
        let mut kept = self.kept();
        kept.retain(|_, listing| listing.until > Instant::now());
        if kept.len() >= LISTINGS {
            let oldest = kept.iter().min_by_key(|(_, listing)| listing.until);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                kept.remove(&oldest);
            }
        }
        kept.insert(
            (names.purpose, names.prefix, after.clone()),
            Listing { names: names.names, until },
        );
        drop(kept);
        // A listing that does not continue must not keep its names in memory.
        let kept = Arc::downgrade(&self.kept);
        tokio::spawn(async move {
            sleep(KEPT).await;
            if let Some(kept) = kept.upgrade() {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.retain(|_, listing| listing.until > Instant::now());
            }
        });
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Key, Listing>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names from which a page takes its own.
#[derive(Debug)]
pub(super) struct Names {
    names: Arc<Vec<LockName>>,
    next: usize,
    purpose: &'static str,
    prefix: String,
}

impl Names {
    /// Returns the next names, at most `count`.
    pub(super) fn take(&mut self, count: usize) -> &[LockName] {
        let from = self.next;
        self.next = self.names.len().min(from.saturating_add(count));
        &self.names[from..self.next]
    }
}

/// All names under that prefix of keys that begin with `wanted`.
async fn names(servers: &Servers, prefix: &str, wanted: &str) -> Result<BTreeSet<LockName>> {
    let found = keys(servers, prefix, wanted).await?;
    // What is no name under our prefix is not ours.
    let names = found.iter().filter_map(|key| {
        let name = str::from_utf8(key.strip_prefix(prefix.as_bytes())?).ok()?;
        LockName::new(name).ok()
    });
    Ok(names.collect())
}

/// All keys under that prefix that go on with `wanted`.
///
/// If one primary of a cluster fails, the keys of the others are still returned, and the log names
/// the failed one.
pub(super) async fn keys(
    servers: &Servers,
    prefix: &str,
    wanted: &str,
) -> Result<BTreeSet<Vec<u8>>> {
    let pattern = format!("{prefix}{}*", escaped(wanted));
    let primaries = servers.primaries().await?;
    let scans = primaries.iter().map(|primary| scan(primary, &pattern));
    let (mut keys, mut answered, mut failed) = (BTreeSet::new(), 0, None);
    for scanned in join_all(scans).await {
        match scanned {
            Ok(found) => {
                answered += 1;
                keys.extend(found);
            }
            Err(error) => {
                if servers.is_cluster() {
                    tracing::warn!(%error, "a listing lacks the keys of one primary of the cluster");
                }
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if answered == 0 => Err(error),
        _ => Ok(keys),
    }
}

/// Returns all keys of one server.
async fn scan(server: &Primary, pattern: &str) -> Result<Vec<Vec<u8>>> {
    let (mut keys, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let mut command = ::redis::cmd("SCAN");
        command.arg(&cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(STEP);
        let answer = server.read(command).await?;
        let (next, found) =
            <(String, Vec<Value>)>::from_redis_value(answer).map_err(|_| strange())?;
        for key in found {
            let Value::BulkString(key) = key else { return Err(strange()) };
            keys.push(key);
        }
        if next == "0" {
            return Ok(keys);
        }
        cursor = next;
    }
}

/// Without meaning in a pattern of Redis.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
