//! Runs one case with its namespace and its time limit, and catches its panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use leasehold_core::{Capabilities, LockName, LockStore, Namespace};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::case::Need;
use crate::ctx::new_namespace;
use crate::failure::caught;
use crate::pace::StallMeter;
use crate::{Backend, Case, CaseResult, Ctx, Failure, Verdict, cases, spawn};

/// A case that takes longer than this counts as hung, even on a busy machine. The limit is less
/// than a long lease.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// A stall of this length may break a case that needs a [steady machine](Need::SteadyMachine). It
/// is less than the margin of the case's leases, and grows with the pace.
const STALL: Duration = Duration::from_millis(50);

/// A stall of this length may break any case, because calls have time limits and servers close
/// connections on which they receive nothing.
const LONG_STALL: Duration = Duration::from_millis(250);

/// No case runs at a larger pace than this.
const SLOWEST_PACE: u32 = 16;

/// A case that only one backend has is tried this many times. It has no leases to lengthen.
const OWN_TRIES: u32 = 3;

/// A subject is a backend under test, which is started when the first case needs it.
pub(crate) struct Subject {
    backend: Arc<dyn Backend>,
    started: OnceCell<CaseResult<Capabilities>>,
    /// A store with which the stall meter measures the server, and a name that is never used.
    probe: OnceCell<(Namespace, Arc<dyn LockStore>, LockName)>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    passed: AtomicUsize,
    failed: AtomicUsize,
    ignored: AtomicUsize,
    /// Counts runs that failed while the machine stalled, and were repeated.
    repeated: AtomicUsize,
}

impl Subject {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            started: OnceCell::new(),
            probe: OnceCell::new(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Counts the verdict on a case.
    pub(crate) fn note(&self, verdict: &Verdict) {
        let Counts { passed, failed, ignored, .. } = &self.counts;
        let count = match verdict {
            Verdict::Passed => passed,
            Verdict::Failed(_) => failed,
            Verdict::Ignored(_) => ignored,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the summary of the cases with the server's version, or `None` if no case ran.
    pub(crate) async fn count(&self) -> Option<String> {
        self.started.get()?;
        let server = self.backend.server().await.ok().flatten();
        let server = server.map(|server| format!(" ({server})")).unwrap_or_default();
        let [passed, failed, ignored] =
            [&self.counts.passed, &self.counts.failed, &self.counts.ignored]
                .map(|count| count.load(Ordering::Relaxed));
        let repeated = match self.counts.repeated.load(Ordering::Relaxed) {
            0 => String::new(),
            repeated => format!(", {repeated} repeated since the machine stalled"),
        };
        let name = self.backend.name();
        Some(format!(
            "{name}{server}: {passed} passed, {failed} failed, {ignored} ignored{repeated}"
        ))
    }

    /// Stops the backend if it was started.
    pub(crate) async fn stop(&self) {
        if let Some((namespace, ..)) = self.probe.get() {
            // The cases have already reported any error of the backend.
            let cleaned = caught(async { Ok(self.backend.clean(namespace).await?) });
            _ = timeout(TIME_LIMIT, cleaned).await;
        }
        if self.started.initialized() {
            self.backend.stop().await;
        }
    }

    /// Starts the backend and returns the capabilities of its stores.
    async fn start(&self) -> CaseResult<Capabilities> {
        let backend = &self.backend;
        let start = || async move {
            caught(async {
                backend.start().await?;
                // Only an open store reports its capabilities. No case uses this namespace.
                let namespace = new_namespace()?;
                let store = backend.open(&namespace).await?;
                let capabilities = store.capabilities();
                _ = self.probe.set((namespace, store, LockName::new("pace")?));
                Ok(capabilities)
            })
            .await
            .map_err(|failure| Failure::new(format!("cannot start {}: {failure}", backend.name())))
        };
        self.started.get_or_init(start).await.clone()
    }

    /// Runs the case, and cleans up after it whatever the verdict.
    pub(crate) async fn run(&self, case: &Case) -> Verdict {
        let capabilities = match self.start().await {
            Ok(capabilities) => capabilities,
            Err(failure) => return Verdict::Failed(failure),
        };
        let probes = self.backend.probes();
        for need in case.needs {
            if let Some(missing) = need.missing(&probes, &capabilities) {
                return Verdict::Ignored(missing.to_string());
            }
        }
        let mut pace = 1;
        loop {
            let needs_steady = case.needs.contains(&Need::SteadyMachine);
            let probe = self.probe.get().filter(|_| needs_steady);
            let store = probe.map(|(_, store, name)| (Arc::clone(store), name.clone()));
            let meter = StallMeter::start(store);
            let (verdict, ended) = self.run_at(case, capabilities, pace).await;
            let stall = meter.longest();
            let failure = match verdict {
                Verdict::Failed(failure) => failure,
                other => return other,
            };
            let limit = if needs_steady { STALL } else { LONG_STALL };
            let excused = stall >= limit * pace;
            if !excused || !ended || pace >= SLOWEST_PACE {
                return Verdict::Failed(failure.of_promise(case.promise()));
            }
            self.repeat(&case.name(), stall, &failure);
            pace *= 2;
        }
    }

    /// Runs the case with short leases lengthened by the factor `pace`, and returns whether it
    /// ended.
    async fn run_at(&self, case: &Case, capabilities: Capabilities, pace: u32) -> (Verdict, bool) {
        let ctx = match Ctx::new(Arc::clone(&self.backend), capabilities, pace) {
            Ok(ctx) => ctx,
            Err(failure) => return (Verdict::Failed(failure), true),
        };
        let outcome = timeout(TIME_LIMIT, spawn((case.run)(ctx.clone())).join()).await;
        let cleaned = timeout(TIME_LIMIT, self.clean(&ctx)).await;
        let ended = outcome.is_ok() && cleaned.is_ok();
        let failures = [
            outcome.unwrap_or_else(|_| Err(hangs())),
            cleaned.unwrap_or_else(|_| Err(Failure::new("cleaning up hangs"))),
        ];
        (failures.into_iter().collect::<CaseResult>().into(), ended)
    }

    /// Runs a case that only this backend has.
    pub(crate) async fn run_own(
        &self,
        case: &str,
        run: impl Fn() -> BoxFuture<'static, CaseResult> + Send + 'static,
    ) -> Verdict {
        if let Err(failure) = self.start().await {
            return Verdict::Failed(failure);
        }
        for left in (0..OWN_TRIES).rev() {
            let meter = StallMeter::start(None);
            let Ok(outcome) = timeout(TIME_LIMIT, spawn(run()).join()).await else { break };
            let (verdict, stall) = (outcome.into(), meter.longest());
            match &verdict {
                Verdict::Failed(failure) if left > 0 && stall >= LONG_STALL => {
                    self.repeat(case, stall, failure);
                }
                _ => return verdict,
            }
        }
        Verdict::Failed(hangs())
    }

    /// Reports that a case is repeated, and why.
    fn repeat(&self, case: &str, stall: Duration, failure: &Failure) {
        self.counts.repeated.fetch_add(1, Ordering::Relaxed);
        let backend = self.backend.name();
        eprintln!(
            "{backend}::{case} is repeated since the machine stalled for {stall:?}: {failure}"
        );
    }

    async fn clean(&self, ctx: &Ctx) -> CaseResult {
        caught(async {
            for namespace in ctx.used_namespaces() {
                self.backend.clean(&namespace).await?;
            }
            Ok(())
        })
        .await
    }
}

fn hangs() -> Failure {
    Failure::new(format!("the case hangs: it did not end within {TIME_LIMIT:?}"))
}

/// Runs the case of that name, such as `fencing::token_increases_after_expiry`, on a backend.
///
/// This is for tests of the suite itself: a [`Suite`](crate::Suite) runs all cases. If there is no
/// case of that name, the verdict is [`Ignored`](Verdict::Ignored).
pub async fn run_case(backend: Arc<dyn Backend>, name: &str) -> Verdict {
    let Some(case) = cases::all().find(|case| case.name() == name) else {
        return Verdict::Ignored(format!("there is no case {name}"));
    };
    let subject = Subject::new(backend);
    let verdict = subject.run(case).await;
    subject.stop().await;
    verdict
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures_util::FutureExt;
    use leasehold_core::{LockStore, MemoryStore, Namespace, Result};
    use tokio::time::sleep;

    use super::*;

    struct Memory(MemoryStore);

    #[async_trait]
    impl Backend for Memory {
        fn name(&self) -> &str {
            "memory"
        }

        async fn open(&self, _: &Namespace) -> Result<Arc<dyn LockStore>> {
            Ok(Arc::new(self.0.clone()))
        }

        async fn clean(&self, _: &Namespace) -> Result<()> {
            Ok(())
        }
    }

    /// Runs a case that fails a number of times, each time after a stall of that length. Returns
    /// whether it passed and how often it ran.
    async fn run_failing(failures: usize, stall: Duration) -> (bool, usize) {
        let subject = Subject::new(Arc::new(Memory(MemoryStore::new())));
        let runs = Arc::new(AtomicUsize::new(0));
        let case = {
            let runs = runs.clone();
            move || {
                let runs = runs.clone();
                async move {
                    std::thread::sleep(stall);
                    // The stall meter runs again.
                    sleep(Duration::from_millis(50)).await;
                    match runs.fetch_add(1, Ordering::Relaxed) {
                        run if run < failures => Err(Failure::new("it failed")),
                        _ => Ok(()),
                    }
                }
                .boxed()
            }
        };
        let verdict = subject.run_own("case", case).await;
        let runs = runs.load(Ordering::Relaxed);
        assert_eq!(subject.counts.repeated.load(Ordering::Relaxed), runs - 1);
        (matches!(verdict, Verdict::Passed), runs)
    }

    #[tokio::test]
    async fn a_case_that_failed_during_a_stall_is_repeated() {
        assert_eq!(run_failing(1, LONG_STALL * 2).await, (true, 2));
    }

    #[tokio::test]
    async fn a_case_that_fails_at_each_try_has_failed() {
        assert_eq!(run_failing(usize::MAX, LONG_STALL * 2).await, (false, 3));
    }

    /// A busy machine may stall on its own, and then the case is repeated.
    #[tokio::test]
    async fn a_failure_without_a_stall_is_not_repeated() {
        for _ in 0..20 {
            if run_failing(1, Duration::ZERO).await == (false, 1) {
                return;
            }
        }
        panic!("a failure is repeated although nothing stalled");
    }
}
