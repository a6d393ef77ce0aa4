//! Scans every primary for the names of locks, and for other keys.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ::redis::{FromRedisValue, Value};
use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

use super::primary::Primary;
use super::record::unexpected_reply;
use super::servers::Servers;
use crate::{LockName, Result};

/// One step of a scan reads about this many keys.
const SCAN_COUNT: u32 = 1000;

/// The names of a scan are cached this long for the next page.
const SCAN_TTL: Duration = Duration::from_secs(10);

/// At most this many scans are cached.
const MAX_SCANS: usize = 4;

/// Caches the names that a scan found, while a listing continues from page to page.
///
/// A page that begins where the previous one ended takes its names from the same scan, so that a
/// listing scans all keys of the database once, and not once per page.
#[derive(Debug, Default)]
pub(super) struct ScanCache {
    cached: Arc<Mutex<HashMap<ScanKey, CachedScan>>>,
}

/// The purpose and prefix of a listing, and the name after which it continues.
type ScanKey = (&'static str, String, Vec<u8>);

#[derive(Clone, Debug)]
struct CachedScan {
    names: Arc<Vec<LockName>>,
    until: Instant,
}

impl ScanCache {
    /// Returns the names after `after` that begin with `prefix`, in byte order.
    pub(super) async fn names(
        &self,
        servers: &Servers,
        keys: &str,
        purpose: &'static str,
        prefix: &str,
        after: Option<&[u8]>,
    ) -> Result<NamePage> {
        let cached = after
            .and_then(|after| self.cache().remove(&(purpose, prefix.to_owned(), after.to_vec())));
        let names = match cached.filter(|cached| cached.until > Instant::now()) {
            Some(cached) => cached.names,
            None => Arc::new(names(servers, keys, prefix).await?.into_iter().collect()),
        };
        let next = after.map_or(0, |after| names.partition_point(|name| bytes(name) <= after));
        Ok(NamePage { names, next, purpose, prefix: prefix.to_owned() })
    }

    /// Caches the names for the page that begins after the last one that was taken, and returns
    /// that one.
    pub(super) fn store_page(&self, names: NamePage) -> Option<Vec<u8>> {
        let last = names.next.checked_sub(1).and_then(|last| names.names.get(last));
        let last = bytes(last?).to_vec();
        let until = Instant::now() + SCAN_TTL;
        let mut cached = self.cache();
        cached.retain(|_, listing| listing.until > Instant::now());
        if cached.len() >= MAX_SCANS {
            let oldest = cached.iter().min_by_key(|(_, listing)| listing.until);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                cached.remove(&oldest);
            }
        }
        cached.insert(
            (names.purpose, names.prefix, last.clone()),
            CachedScan { names: names.names, until },
        );
        drop(cached);
        // A listing that does not continue must not keep its names in memory.
        let cached = Arc::downgrade(&self.cached);
        tokio::spawn(async move {
            sleep(SCAN_TTL).await;
            if let Some(cached) = cached.upgrade() {
                let mut cached = cached.lock();
                cached.retain(|_, listing| listing.until > Instant::now());
            }
        });
        Some(last)
    }

    fn cache(&self) -> MutexGuard<'_, HashMap<ScanKey, CachedScan>> {
        self.cached.lock()
    }
}

/// The names from which a page takes its own.
#[derive(Debug)]
pub(super) struct NamePage {
    names: Arc<Vec<LockName>>,
    next: usize,
    purpose: &'static str,
    prefix: String,
}

impl NamePage {
    /// Returns the next names, at most `count`.
    pub(super) fn next_page(&mut self, count: usize) -> &[LockName] {
        let from = self.next;
        self.next = self.names.len().min(from.saturating_add(count));
        &self.names[from..self.next]
    }
}

fn bytes(name: &LockName) -> &[u8] {
    name.as_str().as_bytes()
}

/// Returns the names that begin with `wanted`, of the keys that begin with `prefix`.
async fn names(servers: &Servers, prefix: &str, wanted: &str) -> Result<BTreeSet<LockName>> {
    let found = keys(servers, prefix, wanted).await?;
    // Leasehold did not write other keys under its prefix.
    let names = found.iter().filter_map(|key| {
        let name = str::from_utf8(key.strip_prefix(prefix.as_bytes())?).ok()?;
        LockName::new(name).ok()
    });
    Ok(names.collect())
}

/// Returns the keys that begin with `prefix` followed by `wanted`.
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
                    tracing::warn!(
                        %error,
                        "the listing lacks the keys of one cluster primary"
                    );
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
        command.arg(&cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SCAN_COUNT);
        let answer = server.read(command).await?;
        let (next, found) =
            <(String, Vec<Value>)>::from_redis_value(answer).map_err(|_| unexpected_reply())?;
        for key in found {
            let Value::BulkString(key) = key else { return Err(unexpected_reply()) };
            keys.push(key);
        }
        if next == "0" {
            return Ok(keys);
        }
        cursor = next;
    }
}

/// Escapes the characters that have a meaning in a pattern of Redis.
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
