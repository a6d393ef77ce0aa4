//! Reads records during a run of a sequence, and checks them against the model.

use std::time::{Duration, Instant};

use leasehold_core::{ErrorKind, LeaseId, LockName, LockRecord, LockStoreExt, Result};
use tokio::time::sleep;

use super::describe;
use super::runner::{Run, Stop};
use super::step::{NAMES, Ttl};
use crate::Client;
use crate::client::retry_while_busy;
use crate::model::Window;

impl Run<'_> {
    pub(super) async fn get(
        &mut self,
        client: &Client,
        name: usize,
    ) -> std::result::Result<Option<LockRecord>, Stop> {
        let before = Instant::now();
        let record = client.get(&self.names[name]).await?;
        self.see(name, record.as_ref(), self.window(before))?;
        Ok(record)
    }

    fn see(
        &mut self,
        name: usize,
        record: Option<&LockRecord>,
        at: Window,
    ) -> std::result::Result<(), Stop> {
        let number = |id: LeaseId| {
            let attempt = self.attempts.iter().find(|attempt| attempt.id == id);
            attempt
                .map_or_else(|| "another client".to_owned(), |attempt| attempt.number.to_string())
        };
        let line = format!("{:?} is {}", NAMES[name], describe::record(record, number));
        self.note(Some(line));
        Self::agreed(name, self.models[name].see(record, at))
    }

    pub(super) async fn list(&mut self, client: &Client) -> std::result::Result<(), Stop> {
        let before = Instant::now();
        let listed: Result<Vec<LockRecord>> =
            retry_while_busy!(client.store().list_all(self.prefix), ErrorKind::Unavailable);
        let (listed, at) = (listed?, self.window(before));
        let names: Vec<&LockName> = listed.iter().map(|record| &record.name).collect();
        if !names.is_sorted() || names.iter().any(|name| !self.names.contains(name)) {
            return Err(Stop::Wrong(format!("{names:?} are listed for {:?}.", self.prefix)));
        }
        for name in 0..NAMES.len() {
            let record = listed.iter().find(|record| record.name == self.names[name]);
            self.see(name, record, at)?;
        }
        Ok(())
    }

    /// Waits until no short lease of the name is in force and no short entry is live. The model
    /// limits how long this may take.
    pub(super) async fn outlast(
        &mut self,
        client: &Client,
        name: usize,
    ) -> std::result::Result<(), Stop> {
        let soon = self.ttl(Ttl::Double) * 2;
        while let Some(record) = self.get(client, name).await?
            && let Some(left) = times_left(&record).filter(|left| *left < soon).min()
        {
            sleep(left.max(Duration::from_millis(5))).await;
        }
        Ok(())
    }
}

/// Returns how much time is left of the lease in force or of each live entry.
fn times_left(record: &LockRecord) -> impl Iterator<Item = Duration> {
    let entries = record.queue.iter().flat_map(|queue| &queue.entries).map(|entry| entry.left);
    record.lease.iter().map(|lease| lease.left).chain(entries)
}
