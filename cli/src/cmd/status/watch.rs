//! `leasehold status --watch` shows every change, and continues through outages of the store.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use leasehold::{Error, HintStream, LockStore};

use super::query::Query;
use super::screen::Screen;
use super::standbys::LockWithStandbys;
use crate::io::exit::{Failure, chain, is_permanent};
use crate::io::stderr::print_message;
use crate::io::stdout::print;
use crate::io::table::visible;
use crate::store_choice::StoreChoice;

/// The store is polled this often without a hint, because grants and expiries cause no hints.
const INTERVAL: Duration = Duration::from_secs(1);

/// The store is polled at most this often, because many hints may come at once.
const MIN_INTERVAL: Duration = Duration::from_millis(50);

/// Shows changes until a signal ends the process or the reader closes standard output.
pub(super) async fn watch(choice: &StoreChoice, query: &Query) -> Result<u8, Failure> {
    let screen = Screen::new().filter(|_| !query.json);
    let coloured = screen.as_ref().is_some_and(|screen| screen.coloured);
    let mut table = String::new();
    let mut source = Source { choice, query, store: None, hints: None };
    let (mut shown, mut failing): (Option<Vec<ComparableLock>>, _) = (None, false);
    loop {
        let read = {
            let mut reading = std::pin::pin!(source.read());
            let mut waited = Duration::ZERO;
            loop {
                tokio::select! {
                    read = &mut reading => break read,
                    () = tokio::time::sleep(INTERVAL) => waited += INTERVAL,
                }
                if let Some(screen) = screen.as_ref().filter(|_| shown.is_some()) {
                    let waited = waited.as_secs();
                    screen.draw(&format!("Out of date: no reply for {waited} s\n\n{table}"))?;
                }
            }
        };
        match read {
            Ok(locks) => {
                failing = false;
                let comparable: Vec<_> = locks.iter().map(ComparableLock::new).collect();
                table = query.show(&locks, coloured)?;
                if let Some(screen) = &screen {
                    screen.draw(&table)?;
                } else if shown.as_ref() != Some(&comparable) {
                    print(&table)?;
                }
                shown = Some(comparable);
            }
            // Before the first reply a mistake of the user is more likely than an outage.
            Err(error) if shown.is_none() && is_permanent(&error) => return Err(error.into()),
            Err(error) => {
                let first = !std::mem::replace(&mut failing, true);
                let message = format!("{}; trying again", chain(&error));
                match &screen {
                    Some(screen) if shown.is_some() => {
                        screen.draw(&format!("Out of date: {}\n\n{table}", visible(&message)))?;
                    }
                    _ if first => print_message(&message),
                    _ => {}
                }
            }
        }
        tokio::time::sleep(MIN_INTERVAL).await;
        tokio::select! {
            () = source.hint() => {}
            () = tokio::time::sleep(INTERVAL - MIN_INTERVAL) => {}
        }
    }
}

/// The source is the store, which is opened as soon as it is available.
struct Source<'a> {
    choice: &'a StoreChoice,
    query: &'a Query,
    store: Option<Arc<dyn LockStore>>,
    hints: Option<HintStream>,
}

impl Source<'_> {
    async fn read(&mut self) -> Result<Vec<LockWithStandbys>, Error> {
        if self.store.is_none() {
            self.store = self.choice.open_existing().await?;
        }
        let Some(store) = &self.store else { return Ok(self.query.without_store()) };
        if self.hints.is_none() {
            // The watch opens before the read, so that no change is missed in between. Without a
            // watch, the store is only polled.
            self.hints = store.watch().await.ok();
        }
        self.query.read(&**store).await
    }

    /// Waits until something may have changed; without a watch it waits forever.
    async fn hint(&mut self) {
        if let Some(hints) = &mut self.hints {
            if hints.next().await.is_some() {
                return;
            }
            self.hints = None;
        }
        std::future::pending::<()>().await;
    }
}

/// A comparable lock has no durations, because those always differ.
#[derive(PartialEq)]
struct ComparableLock(LockWithStandbys);

impl ComparableLock {
    fn new(watched: &LockWithStandbys) -> Self {
        let mut watched = watched.clone();
        let record = &mut watched.record;
        if let Some(lease) = &mut record.lease {
            (lease.held_for, lease.left) = (Duration::ZERO, Duration::ZERO);
        }
        for entry in record.queue.iter_mut().flat_map(|queue| &mut queue.entries) {
            (entry.entered, entry.left) = (Duration::ZERO, Duration::ZERO);
        }
        if let Some(disabled) = &mut record.disabled {
            disabled.since = Duration::ZERO;
        }
        Self(watched)
    }
}
