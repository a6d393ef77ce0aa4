//! Runs the scripts of a namespace, each on the key of one lock.

use ::redis::Value;

use super::record::ScriptReply;
use super::request::{Renewal, Request, ScriptCall, micros};
use super::runtimes::Runtimes;
use super::scan::ScanCache;
use super::scripts::Script;
use super::wait_pool::WriteKind;
use super::{scripts, servers};
use crate::shell::{Found, Page};
use crate::{Error, LockName, RenewOptions, Result};

/// This many records are read or pruned in one round trip.
const BATCH: usize = 500;

/// Runs the scripts of a namespace.
pub(super) struct ScriptRunner {
    /// The prefix of the keys, before a lock's name.
    pub(super) keys: String,
    /// The channel of the hints.
    pub(super) channel: String,
    pub(super) runtimes: Runtimes,
    pub(super) scans: ScanCache,
}

impl ScriptRunner {
    /// Returns the request that runs a script on the key of that name, with these arguments after
    /// the channel and the name.
    pub(super) fn request(
        &self,
        script: &'static Script,
        name: &LockName,
        more: &[&str],
    ) -> Request {
        let arguments =
            [self.channel.as_str(), name.as_str()].into_iter().chain(more.iter().copied());
        let arguments = arguments.map(Into::into).collect();
        Request::Script(ScriptCall { script, key: self.key(name), arguments })
    }

    /// Returns the request that renews a lease.
    pub(super) fn renewal(&self, RenewOptions { name, lease, ttl, .. }: &RenewOptions) -> Request {
        Request::Renewal(Renewal { key: self.key(name), lease: *lease, ttl: *ttl })
    }

    /// Returns the request that renews these entries, which are in the queue of that name.
    pub(super) fn renewal_of_entries(&self, name: &LockName, entries: &[&RenewOptions]) -> Request {
        let of_entry = |entry: &&RenewOptions| {
            [entry.lease.to_string(), micros(entry.ttl).to_string()].map(String::into_bytes)
        };
        let arguments = entries.iter().flat_map(of_entry).collect();
        Request::Script(ScriptCall {
            script: &scripts::RENEW_ENTRIES,
            key: self.key(name),
            arguments,
        })
    }

    fn key(&self, name: &LockName) -> Vec<u8> {
        [self.keys.as_bytes(), name.as_str().as_bytes()].concat()
    }

    /// Runs a script on the key of that name.
    pub(super) async fn run(
        &self,
        script: &'static Script,
        name: &LockName,
        more: &[&str],
    ) -> Result<ScriptReply> {
        let request = self.request(script, name, more);
        ScriptReply::for_lock(name, self.runtimes.here().servers.call(request).await?)
    }

    /// Does the same as [`run`](Self::run), and also returns an error if too few replicas
    /// confirmed the write.
    pub(super) async fn run_on_replicas(
        &self,
        kind: WriteKind,
        script: &'static Script,
        name: &LockName,
        more: &[&str],
    ) -> Result<(ScriptReply, Option<Error>)> {
        let connections = self.runtimes.here();
        let request = self.request(script, name, more);
        let (answer, missing) = match &connections.replicas {
            Some(replicas) => replicas.write(kind, request).await?,
            None => (connections.servers.call(request).await?, None),
        };
        Ok((ScriptReply::for_lock(name, answer)?, missing))
    }

    /// Runs a script for each of the next names that a scan found, until `read` has returned as
    /// many entries as the page may have.
    pub(super) async fn scan_page<T>(
        &self,
        operation: &'static str,
        page: &Page<'_>,
        script: &'static Script,
        more: &[&str],
        read: fn(&LockName, Result<Value>) -> Result<Option<T>>,
    ) -> Result<Found<T>> {
        let connections = self.runtimes.here();
        let (servers, scans) = (&connections.servers, &self.scans);
        let Page { prefix, after, limit } = *page;
        let mut names = scans.names(servers, &self.keys, operation, prefix, after).await?;
        let mut entries = Vec::new();
        while entries.len() < limit {
            // The script runs for no more names than may be returned, since it may remove each.
            let next = names.next_page(BATCH.min(limit - entries.len()));
            if next.is_empty() {
                return Ok(Found { entries, next: None });
            }
            let requests = next.iter().map(|name| self.request(script, name, more)).collect();
            let answers = servers.call_all(requests, servers::full_limit).await?;
            for (name, answer) in next.iter().zip(answers) {
                match read(name, answer) {
                    Ok(entry) => entries.extend(entry),
                    Err(error) if servers.is_cluster() && error.is_transient() => {
                        tracing::warn!(
                            %error,
                            lock = %name,
                            operation,
                            "a lock of the cluster is omitted"
                        );
                    }
                    Err(error) => return Err(error.for_lock(name)),
                }
            }
        }
        Ok(Found { entries, next: scans.store_page(names) })
    }
}
