//! This module has helpers that the cases of the engine's promises share. It has no cases.

use std::time::Duration;

use leasehold_core::{Client, Election, ElectionHandle, Settings};

use crate::gated::GatedStore;
use crate::job_log::{JobBehaviour, JobLog};
use crate::{CaseResult, Ctx};

/// Returns a ttl that heartbeats can renew in time and whose end a case can wait for. A case that
/// fails when the machine stalls for a part of it needs a [steady
/// machine](crate::Need::SteadyMachine).
pub(super) fn ttl(ctx: &Ctx) -> Duration {
    ctx.in_steps(Duration::from_secs(3) * ctx.pace())
}

/// Returns how long a `stop` may take in these cases.
pub(super) fn grace(ctx: &Ctx) -> Duration {
    ttl(ctx) / 3
}

pub(super) fn settings(ctx: &Ctx) -> Settings {
    Settings::new().ttl(ttl(ctx))
}

/// Opens a client with a separate store.
pub(super) async fn client(ctx: &Ctx) -> CaseResult<Client> {
    let store = ctx.backend().open(ctx.namespace()).await?;
    Ok(Client::builder(store).settings(settings(ctx)).build()?)
}

/// Opens a client whose calls to its store can be blocked.
pub(super) async fn gated(ctx: &Ctx) -> CaseResult<(Client, GatedStore)> {
    let gate = GatedStore::new(ctx.backend().open(ctx.namespace()).await?);
    let client = Client::builder(std::sync::Arc::new(gate.clone())).settings(settings(ctx));
    Ok((client.build()?, gate))
}

/// Starts a campaign of that instance, with a job that writes into the log.
pub(super) fn campaign(
    election: Election,
    log: &JobLog,
    instance: usize,
    behaviour: JobBehaviour,
) -> ElectionHandle {
    election.spawn(log.job(instance, behaviour))
}
