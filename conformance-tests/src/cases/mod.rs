//! The modules below contain the cases, grouped by subject. Each case names the
//! [`Promise`](crate::Promise) that it holds up.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a case fails by panicking")]

/// Declares the modules of cases and joins their tables. Each module takes one line.
macro_rules! modules {
    ($($module:ident),+ $(,)?) => {
        $(mod $module;)+

        const TABLES: &[&[crate::Case]] = &[$($module::CASES),+];
    };
}

mod engine;
mod queue_client;

modules! {
    exclusion,
    fencing,
    idempotence,
    renewal,
    release,
    server_time,
    unknown,
    outages,
    disable,
    hints,
    names,
    cancellation,
    batch,
    round_trips,
    rights,
    own_pool,
    records,
    prune,
    input,
    processes,
    trust,
    terms,
    takeover,
    heartbeat,
    kept_leases,
    waiting,
    queue,
    settings,
    presence,
    properties,
    queue_order,
    queue_attempts,
    queue_ends,
    queue_renewals,
    queue_kinds,
    queue_disable,
    queue_hints,
    queue_names,
    queue_contention,
    queue_trust,
    queue_locks,
    queue_waits,
    queue_leaders,
}

/// Returns all cases, module by module.
pub fn all() -> impl Iterator<Item = &'static crate::Case> {
    TABLES.iter().copied().flatten()
}
