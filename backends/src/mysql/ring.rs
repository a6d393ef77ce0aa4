//! The holder's side of bells: one connection per store that keeps its holder's bell while it holds
//! leases, and rings it when one was released.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::user_lock::{Line, Tower};
use crate::{LeaseId, RenewOutcome};

/// How long a bell is kept after the last lease, for the next one.
const LINGER: Duration = Duration::from_secs(10);

/// How often it is looked which leases ran out, and whether the bells are still kept.
const UPKEEP: Duration = Duration::from_secs(15);

/// A store has one holder; more share its connection, up to so many.
const MOST_BELLS: usize = 8;

/// The pauses between attempts to get bells that could not be had.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// Keeps bells and rings them, in a task that lives while there is something to ring for.
pub(super) struct Ringer(Arc<Inner>);

struct Inner {
    tower: Tower,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    /// Those in force as far as is known: whose, and until when.
    leases: HashMap<LeaseId, (Uuid, Instant)>,
    /// The holders whose bells are needed, and when they were last.
    bells: HashMap<Uuid, Instant>,
    /// The holders whose bells are to be rung.
    due: HashSet<Uuid>,
    task: Option<AbortHandle>,
}

impl Ringer {
    pub(super) fn new(tower: Tower) -> Self {
        Self(Arc::new(Inner { tower, state: Mutex::default(), wake: Notify::new() }))
    }

    /// Whether releases by that holder are rung for by this store.
    pub(super) fn rings_for(&self, holder: Uuid) -> bool {
        self.0.state().bells.contains_key(&holder)
    }

    /// Keeps the holder's bell from now; the connection is opened in the background.
    pub(super) fn granted(&self, holder: Uuid, lease: LeaseId, left: Duration) {
        let now = Instant::now();
        let mut state = self.0.state();
        if !state.bells.contains_key(&holder) && state.bells.len() >= MOST_BELLS {
            return;
        }
        state.leases.insert(lease, (holder, now + left));
        let new = state.bells.insert(holder, now).is_none();
        // The task may have gone with its runtime.
        if state.task.as_ref().is_none_or(AbortHandle::is_finished) {
            state.task = Some(tokio::spawn(run(Arc::clone(&self.0))).abort_handle());
        } else if new {
            self.0.wake.notify_one();
        }
    }

    pub(super) fn renewed<'a>(&self, leases: impl Iterator<Item = (LeaseId, &'a RenewOutcome)>) {
        let now = Instant::now();
        let mut state = self.0.state();
        for (lease, outcome) in leases {
            match outcome {
                RenewOutcome::Extended { left } => {
                    if let Some((_, until)) = state.leases.get_mut(&lease) {
                        *until = now + *left;
                    }
                }
                RenewOutcome::Lost => _ = state.leases.remove(&lease),
                RenewOutcome::Disabled { .. } | RenewOutcome::Unknown { .. } => {}
            }
        }
    }

    /// Forgets a lease that is over, and rings if it was released.
    pub(super) fn over(&self, lease: LeaseId, rings: bool) {
        let mut state = self.0.state();
        let Some((holder, _)) = state.leases.remove(&lease) else { return };
        state.bells.insert(holder, Instant::now());
        if rings {
            state.due.insert(holder);
            self.0.wake.notify_one();
        }
    }
}

impl Drop for Ringer {
    fn drop(&mut self) {
        if let Some(task) = self.0.state().task.take() {
            task.abort();
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The holders whose bells are to be kept; none when the task has nothing left to do and is
    /// forgotten.
    fn needed(&self) -> Option<HashSet<Uuid>> {
        let now = Instant::now();
        let mut state = self.state();
        let State { leases, bells, due, task } = &mut *state;
        leases.retain(|_, (holder, until)| {
            let in_force = *until > now;
            if in_force && let Some(last) = bells.get_mut(holder) {
                *last = now;
            }
            in_force
        });
        bells.retain(|_, last| now.duration_since(*last) < LINGER);
        if bells.is_empty() {
            due.clear();
            *task = None;
            return None;
        }
        Some(bells.keys().copied().collect())
    }

    /// Takes what is to be rung, and what has to be kept.
    fn due(&self) -> (HashSet<Uuid>, HashSet<Uuid>) {
        let mut state = self.state();
        (mem::take(&mut state.due), state.bells.keys().copied().collect())
    }
}

async fn run(inner: Arc<Inner>) {
    let mut hand = Hand {
        tower: &inner.tower,
        line: None,
        kept: HashSet::new(),
        pause: PAUSES.0,
        again: Instant::now(),
    };
    let closed = inner.tower.pool.close_event();
    tokio::select! {
        () = hand.serve(&inner) => {}
        () = closed => {}
    }
    if let Some(line) = hand.line.take() {
        line.close().await;
    }
}

/// What the task has in hand.
struct Hand<'a> {
    tower: &'a Tower,
    line: Option<Line>,
    /// The bells that are kept on the line.
    kept: HashSet<Uuid>,
    pause: Duration,
    /// When to try again to get what is missing.
    again: Instant,
}

impl Hand<'_> {
    async fn serve(&mut self, inner: &Inner) {
        let mut upkeep = Instant::now();
        let mut left = self.tower.left();
        loop {
            let (due, mut needed) = inner.due();
            let mut check = false;
            if Instant::now() >= upkeep {
                upkeep = Instant::now() + UPKEEP;
                check = true;
                match inner.needed() {
                    Some(still) => needed = still,
                    None => return,
                }
            }
            if let Err(error) = self.tend(&due, &needed, check).await {
                tracing::debug!(%error, "no bell can be rung: waiters poll meanwhile");
                self.line = None;
                self.kept.clear();
                self.missed();
            }
            let missing = !needed.is_subset(&self.kept);
            let until = if missing { self.again.min(upkeep) } else { upkeep };
            tokio::select! {
                () = inner.wake.notified() => {}
                () = sleep_until(until) => {}
                // The next connection follows the address.
                Ok(()) = left.changed() => {
                    self.line = None;
                    self.kept.clear();
                    self.again = Instant::now();
                }
            }
        }
    }

    async fn tend(
        &mut self,
        due: &HashSet<Uuid>,
        needed: &HashSet<Uuid>,
        check: bool,
    ) -> sqlx::Result<()> {
        if let Some(line) = &mut self.line {
            for holder in due.intersection(&self.kept) {
                line.ring(&self.tower.bell(*holder)).await?;
            }
            if check {
                for holder in self.kept.clone() {
                    let bell = self.tower.bell(holder);
                    if !needed.contains(&holder) {
                        line.give_up(&bell).await?;
                        self.kept.remove(&holder);
                    } else if !line.keeps(&bell).await? {
                        self.kept.remove(&holder);
                    }
                }
            }
        }
        if needed.is_subset(&self.kept) || Instant::now() < self.again {
            return Ok(());
        }
        let line = match &mut self.line {
            Some(line) => line,
            empty => empty.insert(Line::open(self.tower).await?),
        };
        for holder in needed {
            if !self.kept.contains(holder) && line.take(&self.tower.bell(*holder)).await? {
                self.kept.insert(*holder);
            }
        }
        if needed.is_subset(&self.kept) {
            self.pause = PAUSES.0;
        } else {
            // Another session keeps it: one that is dead already, or another store of that holder.
            self.missed();
        }
        Ok(())
    }

    fn missed(&mut self) {
        self.again = Instant::now() + self.pause.mul_f64(0.75 + fastrand::f64() / 2.0);
        self.pause = (self.pause * 2).min(PAUSES.1);
    }
}
