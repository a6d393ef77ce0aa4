//! Runs workers that contend for one lock, and puts their reports together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use crate::contender::LockLibrary;
use crate::leasehold_client::OWN_POOL;
use crate::server_counts::{self, Counts, Reader};
use crate::worker::{Grant, Job, Report, Task, Worker};

/// A library that workers open by its name.
#[derive(Clone, Debug)]
pub(crate) struct NamedLibrary {
    pub(crate) name: String,
    pub(crate) max_waiters: usize,
}

/// Returns the libraries that workers are to open. Contention is the same on the application's own
/// pool, so that is left out.
pub(crate) fn named(libraries: &[Arc<dyn LockLibrary>]) -> Vec<NamedLibrary> {
    let named = libraries.iter().filter(|library| library.name() != OWN_POOL);
    let named = named.map(|library| NamedLibrary {
        name: library.name().to_owned(),
        max_waiters: library.max_waiters(),
    });
    named.collect()
}

/// A setting says how many waiters contend for the lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// The participants want the lock: one holds it, and the others wait.
    pub(crate) participants: usize,
    pub(crate) processes: usize,
    pub(crate) hold: Duration,
    pub(crate) rest: Duration,
    /// The workers run for this long before anything is counted.
    pub(crate) settle: Duration,
    pub(crate) length: Duration,
}

/// These are the results of all workers.
#[derive(Debug, Default)]
pub(crate) struct Contended {
    /// The grants in their order.
    pub(crate) grants: Vec<Grant>,
    /// These are the numbers of grants of each participant that had one.
    pub(crate) grants_each: Vec<usize>,
    /// All workers made this many calls to their stores.
    pub(crate) calls: Option<f64>,
    pub(crate) counts: Option<Counts>,
}

/// The setting that runs next has this number.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Runs the workers. They acquire a lock that no earlier setting and no earlier run has used: a
/// worker that ended during an attempt may have been granted the lock, which is then free only
/// after its ttl, or never if it is the floor's.
pub(crate) async fn run(
    url: &str,
    library: &str,
    reader: &Reader,
    setting: Setting,
) -> Result<Contended> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let lock = format!("bench-contended-{}-{number}", std::process::id());
    let mut workers = Vec::new();
    for waiters in shares(setting.participants, setting.processes) {
        let Setting { hold, rest, .. } = setting;
        let task = Task::Wait { lock: lock.clone(), waiters, hold, rest };
        let job = Job { url: url.to_owned(), library: library.to_owned(), task };
        workers.push(Worker::start(&job).await?);
    }
    for worker in &mut workers {
        worker.ready().await?;
    }
    order(&mut workers, "go").await?;
    sleep(setting.settle).await;
    let before = server_counts::read(reader).await;
    order(&mut workers, "count").await?;
    sleep(setting.length).await;
    order(&mut workers, "stop").await?;
    let counts = server_counts::between(before, server_counts::read(reader).await);
    let mut reports = Vec::new();
    for worker in workers {
        reports.push(worker.report().await?);
    }
    let mut contended = together(&reports);
    contended.counts = counts;
    Ok(contended)
}

async fn order(workers: &mut [Worker], order: &str) -> Result<()> {
    for worker in workers {
        worker.order(order).await?;
    }
    Ok(())
}

/// Distributes the participants over the processes. No process has none.
fn shares(participants: usize, processes: usize) -> Vec<usize> {
    let processes = processes.min(participants);
    let share = |process| {
        let more = usize::from(process < participants % processes);
        participants / processes + more
    };
    (0..processes).map(share).collect()
}

fn together(reports: &[Report]) -> Contended {
    let mut grants: Vec<_> = reports.iter().flat_map(|report| report.grants.clone()).collect();
    grants.sort_by_key(|grant| grant.granted);
    let mut grants_each = Vec::new();
    for report in reports {
        let most = report.grants.iter().map(|grant| grant.waiter + 1).max().unwrap_or_default();
        let mut counts = vec![0; most];
        report.grants.iter().for_each(|grant| counts[grant.waiter] += 1);
        grants_each.extend(counts.into_iter().filter(|count| *count > 0));
    }
    let calls = |report: &Report| -> Option<f64> {
        let calls = report.calls.as_ref()?;
        Some(calls.values().sum::<u64>() as f64)
    };
    let calls = reports.iter().map(calls).sum();
    Contended { grants, grants_each, calls, counts: None }
}

impl Contended {
    /// Returns the times from the call of a release to the next grant.
    pub(crate) fn hand_overs(&self) -> Vec<Duration> {
        let hand_over = |pair: &[Grant]| pair[1].granted.checked_sub(pair[0].released);
        self.grants.windows(2).filter_map(hand_over).collect()
    }

    /// Returns a number for each grant.
    pub(crate) fn per_grant(&self, count: f64) -> Option<f64> {
        (!self.grants.is_empty()).then(|| count / self.grants.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(waiter: usize, granted: u64, released: u64) -> Grant {
        let ms = Duration::from_millis;
        Grant { waiter, granted: ms(granted), released: ms(released) }
    }

    #[test]
    fn participants_are_distributed_evenly() {
        assert_eq!(shares(11, 10), [2, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(shares(2, 10), [1, 1]);
        assert_eq!(shares(1001, 1), [1001]);
    }

    #[test]
    fn a_hand_over_lasts_from_a_release_to_the_next_grant_in_any_process() {
        let report = |grants| Report { grants, ..Report::default() };
        let first = report(vec![grant(0, 0, 10), grant(1, 30, 40)]);
        let second = report(vec![grant(0, 12, 25)]);
        let contended = together(&[first, second]);
        let ms = Duration::from_millis;
        assert_eq!(contended.hand_overs(), [ms(2), ms(5)]);
        assert_eq!(contended.grants_each, [1, 1, 1]);
        assert_eq!(contended.calls, None);
    }
}
