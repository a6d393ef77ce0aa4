//! A worker process is this same program, started again with a job in its environment.

use std::env;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use leasehold_core::Namespace;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::runtime::Runtime;

use crate::worker::{self, WorkerTask};
use crate::{Backend, CaseResult, Ctx, Failure};

const JOB: &str = "LEASEHOLD_CONFORMANCE_JOB";

/// This is true if this program's `main` can run a worker's job. Any other `main` would run its
/// tests again.
static WORKERS_ALLOWED: AtomicBool = AtomicBool::new(false);

pub(crate) fn allow_workers() {
    WORKERS_ALLOWED.store(true, Ordering::Relaxed);
}

pub(crate) fn can_start_workers() -> bool {
    WORKERS_ALLOWED.load(Ordering::Relaxed)
}

/// A worker has this job, and uses this datastore.
#[derive(Debug, Serialize, Deserialize)]
struct Job {
    backend: String,
    address: String,
    namespace: Namespace,
    role: WorkerTask,
}

/// This worker process is killed when this value is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    /// Starts a worker in the case's namespace.
    pub(crate) fn start(ctx: &Ctx, role: WorkerTask) -> CaseResult<Self> {
        let probes = ctx.backend().probes();
        let Some(reachable) = probes.other_processes else {
            return Err(Failure::new("other processes cannot reach the datastore"));
        };
        let job = Job {
            backend: ctx.backend().name().to_owned(),
            address: reachable.address(),
            namespace: ctx.namespace().clone(),
            role,
        };
        let mut child = Command::new(env::current_exe()?)
            .env(JOB, serde_json::to_string(&job)?)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| Failure::new("the worker has no stdout"))?;
        Ok(Self { child, lines: BufReader::new(stdout).lines() })
    }

    /// Returns the next line that the worker prints.
    pub(crate) async fn line(&mut self) -> CaseResult<String> {
        let line = self.lines.next_line().await?;
        line.ok_or_else(|| Failure::new("the worker ended before it printed the expected line"))
    }

    /// Waits until the worker has finished its job.
    pub(crate) async fn finish(mut self) -> CaseResult {
        let status = self.child.wait().await?;
        if status.success() {
            Ok(())
        } else {
            Err(Failure::new(format!("a worker failed: {status}")))
        }
    }

    /// Returns whether the process has ended on its own.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Kills the worker as a crash would, so that it cannot clean up.
    pub(crate) async fn kill(mut self) -> CaseResult {
        Ok(self.child.kill().await?)
    }
}

/// Runs a worker's job if this process was started with one.
pub(crate) fn work_if_asked<'a>(
    runtime: &Runtime,
    backends: impl Iterator<Item = &'a Arc<dyn Backend>>,
) -> Option<ExitCode> {
    let job = env::var(JOB).ok()?;
    Some(match runtime.block_on(work(&job, backends)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("worker process failed: {failure}");
            ExitCode::FAILURE
        }
    })
}

async fn work<'a>(
    job: &str,
    mut backends: impl Iterator<Item = &'a Arc<dyn Backend>>,
) -> CaseResult {
    let job: Job = serde_json::from_str(job)?;
    let backend = backends.find(|backend| backend.name() == job.backend);
    let backend = backend.ok_or_else(|| Failure::new(format!("no backend {}", job.backend)))?;
    let probes = backend.probes();
    let reachable = probes.other_processes.ok_or_else(|| Failure::new("it is process-local"))?;
    let attached = reachable.attach(&job.address).await?;
    worker::run(&job.role, attached.open(&job.namespace).await?).await
}
