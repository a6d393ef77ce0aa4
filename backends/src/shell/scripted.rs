//! A backend for tests, whose replies the test sets.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Attempt, Backend, Decision, Entry, Found, Hints, Operation, Page, StoredInstance};
use crate::{
    AcquireOptions, Capabilities, DisableOptions, EnableOutcome, EnterOptions, Error, ErrorKind,
    Grant, Hint, LeaseId, LockName, LockRecord, LockStore, MemoryStore, ReleaseOptions,
    ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};

/// What one subscription does, in order.
pub(super) enum Step {
    Listening,
    Hint(Hint),
    Break,
    Close,
}

/// Replies in the order of each queue. With an empty queue, a call gets no reply.
#[derive(Debug, Default)]
pub(super) struct Scripted {
    pub(super) acquired: Queue<Result<Decision<Grant>>>,
    pub(super) renewed: Queue<Result<Vec<Result<RenewOutcome>>>>,
    pub(super) entered: Queue<Result<Option<LockRecord>>>,
    pub(super) entries_renewed: Queue<Result<Vec<Result<RenewOutcome>>>>,
    pub(super) released: Queue<Result<Option<Vec<Result<ReleaseOutcome>>>>>,
    pub(super) disabled: Queue<Result<Decision<()>>>,
    pub(super) read: Queue<Result<Option<Entry>>>,
    pub(super) pages: Queue<Result<Found<Entry>>>,
    pub(super) pruned: Queue<Result<Found<LockName>>>,
    pub(super) instances: Queue<Result<Vec<StoredInstance>>>,
    /// The leases of each renewal and release, and the name after which each page was requested.
    pub(super) calls: Mutex<Vec<String>>,
    pub(super) steps: tokio::sync::Mutex<Option<mpsc::UnboundedReceiver<Step>>>,
}

#[derive(Debug)]
pub(super) struct Queue<T>(Mutex<VecDeque<T>>);

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Queue<T> {
    pub(super) fn push(&self, answer: T) {
        self.0.lock().unwrap().push_back(answer);
    }

    async fn next(&self) -> T {
        let next = self.0.lock().unwrap().pop_front();
        match next {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

impl Scripted {
    fn note(&self, what: String) {
        self.calls.lock().unwrap().push(what);
    }
}

fn after(page: &Page<'_>) -> String {
    let after = page.after.map(String::from_utf8_lossy).unwrap_or_default();
    format!("{} after {after:?}", page.limit)
}

impl Backend for Scripted {
    fn label(&self) -> &str {
        "scripted"
    }

    fn capabilities(&self) -> Capabilities {
        MemoryStore::new().capabilities()
    }

    async fn acquire(
        &self,
        _: &LockName,
        _: &AcquireOptions,
        attempt: Attempt,
    ) -> Result<Decision<Grant>> {
        self.note(format!("acquire {}", attempt.number));
        self.acquired.next().await
    }

    async fn renew(&self, leases: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        let names: Vec<_> = leases.iter().map(|lease| lease.name.as_str()).collect();
        self.note(names.join(" "));
        self.renewed.next().await
    }

    async fn enter(
        &self,
        _: &LockName,
        _: &EnterOptions,
        attempt: Attempt,
    ) -> Result<Option<LockRecord>> {
        self.note(format!("enter {}", attempt.number));
        self.entered.next().await
    }

    async fn renew_entries(&self, entries: &[&RenewOptions]) -> Result<Vec<Result<RenewOutcome>>> {
        let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
        self.note(format!("entries {}", names.join(" ")));
        self.entries_renewed.next().await
    }

    async fn release(&self, name: &LockName, _: LeaseId) -> Result<ReleaseOutcome> {
        self.note(format!("release {name}"));
        Ok(ReleaseOutcome::Released)
    }

    async fn release_many(
        &self,
        leases: &[&ReleaseOptions],
    ) -> Result<Option<Vec<Result<ReleaseOutcome>>>> {
        let names: Vec<_> = leases.iter().map(|lease| lease.name.as_str()).collect();
        self.note(format!("release {}", names.join(" ")));
        self.released.next().await
    }

    async fn disable(&self, _: &LockName, _: &DisableOptions, _: Attempt) -> Result<Decision<()>> {
        self.disabled.next().await
    }

    async fn enable(&self, _: &LockName) -> Result<EnableOutcome> {
        Ok(EnableOutcome::Enabled)
    }

    async fn read(&self, _: &LockName) -> Result<Option<Entry>> {
        self.read.next().await
    }

    async fn page(&self, page: &Page<'_>) -> Result<Found<Entry>> {
        self.note(after(page));
        self.pages.next().await
    }

    async fn prune_page(&self, page: &Page<'_>, _: Duration, _: bool) -> Result<Found<LockName>> {
        self.note(after(page));
        self.pruned.next().await
    }

    async fn announce(&self, instance: Uuid, _: &str, _: Duration) -> Result<()> {
        self.note(instance.to_string());
        Ok(())
    }

    async fn instances(&self) -> Result<Vec<StoredInstance>> {
        self.instances.next().await
    }

    async fn watch_once(&self, hints: &Hints) -> Result<()> {
        let mut steps = self.steps.lock().await;
        let Some(steps) = steps.as_mut() else { return std::future::pending().await };
        loop {
            match steps.recv().await {
                Some(Step::Listening) => hints.listening(),
                Some(Step::Hint(hint)) => hints.send(hint),
                Some(Step::Break) => {
                    return Err(Error::new(ErrorKind::Unavailable, "the subscription broke"));
                }
                Some(Step::Close) | None => return Ok(()),
            }
        }
    }

    fn call_limit(&self, operation: Operation) -> Option<Duration> {
        // Renewals limit themselves.
        (operation != Operation::Renew).then_some(Duration::from_secs(10))
    }
}
