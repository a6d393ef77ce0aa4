//! Promises `exclusion` and `cancel-safe` between processes, as applications are deployed.

use std::path::PathBuf;
use std::time::Instant;

use leasehold_core::{LeaseId, LockName};

use crate::expect::held;
use crate::process::Worker;
use crate::worker::{WorkerTask, check_notes};
use crate::{CLOCK_TOLERANCE, CaseResult, Ctx};

crate::case::cases! {
    Exclusion: [
        holders_in_many_processes_never_overlap[OtherProcesses],
        takeover_from_a_killed_holder_waits_for_its_lease[OtherProcesses, SteadyMachine],
    ],
    CancelSafe: [
        a_killed_contender_does_not_block_others[OtherProcesses],
    ],
}

const PROCESSES: u32 = 6;
const ROUNDS: u32 = 25;

/// All workers append to this file. It is removed after the case.
struct Notes(PathBuf);

impl Notes {
    fn new(ctx: &Ctx) -> CaseResult<Self> {
        let path = std::env::temp_dir().join(format!("leasehold_{}", ctx.namespace()));
        std::fs::write(&path, "")?;
        Ok(Self(path))
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        // Other programs may also empty the folder for temporary files.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn contend(ctx: &Ctx, name: &LockName, rounds: u32, notes: &Notes) -> WorkerTask {
    WorkerTask::Contend { name: name.clone(), rounds, ttl: ctx.long_ttl(), notes: notes.0.clone() }
}

async fn holders_in_many_processes_never_overlap(ctx: Ctx) -> CaseResult {
    let notes = Notes::new(&ctx)?;
    let role = contend(&ctx, &ctx.name("job"), ROUNDS, &notes);
    let workers = (0..PROCESSES)
        .map(|_| Worker::start(&ctx, role.clone()))
        .collect::<CaseResult<Vec<_>>>()?;
    for worker in workers {
        worker.finish().await?;
    }
    let sections = check_notes(&std::fs::read_to_string(&notes.0)?)?;
    assert_eq!(sections, (PROCESSES * ROUNDS) as usize);
    Ok(())
}

async fn takeover_from_a_killed_holder_waits_for_its_lease(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let ttl = ctx.in_steps(ctx.short_ttl() * 10);
    for round in 0..2 {
        let name = ctx.name(&format!("job {round}"));
        let mut worker = Worker::start(&ctx, WorkerTask::Hold { name: name.clone(), ttl })?;
        let token: u64 = worker.line().await?.parse()?;
        let sent_at = Instant::now();
        let outcome = client.acquire(&name, LeaseId::new(), ctx.long_ttl()).await?;
        let left = held(outcome).left;
        worker.kill().await?;
        let taken = client.acquire_when_free(&name, ctx.long_ttl()).await?;
        let early = (sent_at + left).saturating_duration_since(taken.answered);
        assert!(early <= CLOCK_TOLERANCE, "taken over {early:?} before the lease ended");
        assert!(taken.token.get() > token, "token {} after {token}", taken.token);
    }
    Ok(())
}

async fn a_killed_contender_does_not_block_others(ctx: Ctx) -> CaseResult {
    let client = ctx.open().await?;
    let (notes, lock) = (Notes::new(&ctx)?, ctx.name("job"));
    // The ttl is short, because some workers are killed while they hold the name.
    let role = |rounds| WorkerTask::Contend {
        name: lock.clone(),
        rounds,
        ttl: ctx.in_steps(ctx.short_ttl() * 4),
        notes: notes.0.clone(),
    };
    for _ in 0..3 {
        let start = || Worker::start(&ctx, role(1_000_000));
        let mut workers = (0..2).map(|_| start()).collect::<CaseResult<Vec<_>>>()?;
        // The case waits until the workers have started.
        let before = std::fs::metadata(&notes.0)?.len();
        while std::fs::metadata(&notes.0)?.len() < before + 200 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            // On a busy machine a process may find that its lease has expired, and end.
            for worker in &mut workers {
                if worker.has_ended() {
                    *worker = start()?;
                }
            }
        }
        for worker in workers {
            worker.kill().await?;
        }
        // A transaction that a dead client left open would block the name for longer.
        let taken = client.acquire_when_free(&lock, ctx.long_ttl()).await?;
        client.release_held(&taken).await?;
    }
    Ok(())
}
