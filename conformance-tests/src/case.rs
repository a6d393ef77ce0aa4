//! This module defines a case of the suite, and what it needs.

use std::fmt;

use futures_util::future::BoxFuture;
use leasehold_core::{Capabilities, StoreClock};

use crate::{CaseResult, Ctx, Probes, Promise};

/// A case is a program that fails if one promise does not hold.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The path is a module and a function, such as `fencing::token_increases_after_expiry`.
    path: &'static str,
    function: &'static str,
    promise: Promise,
    pub(crate) needs: &'static [Need],
    pub(crate) run: fn(Ctx) -> BoxFuture<'static, CaseResult>,
}

impl Case {
    pub(crate) const fn new(
        path: &'static str,
        function: &'static str,
        promise: Promise,
        needs: &'static [Need],
        run: fn(Ctx) -> BoxFuture<'static, CaseResult>,
    ) -> Self {
        Self { path, function, promise, needs, run }
    }

    /// Returns the module and the function, such as `fencing::token_increases_after_expiry`.
    #[must_use]
    pub fn name(&self) -> String {
        let module = self.path.split_once("::cases::").map_or(self.path, |(_, module)| module);
        format!("{module}::{}", self.function)
    }

    /// Returns the promise that the case verifies.
    #[must_use]
    pub fn promise(&self) -> Promise {
        self.promise
    }

    /// Returns what the case needs beyond the store's trait.
    #[must_use]
    pub fn needs(&self) -> &'static [Need] {
        self.needs
    }
}

/// Lists the cases of a module under the promises that they verify. Each is an
/// `async fn(Ctx) -> CaseResult`, with its needs if it has any.
macro_rules! cases {
    ($($promise:ident: [$($case:ident $([$($need:ident),+])?),+ $(,)?]),+ $(,)?) => {
        pub(crate) const CASES: &[$crate::Case] = &[$($(
            $crate::Case::new(
                ::std::module_path!(),
                ::std::stringify!($case),
                $crate::Promise::$promise,
                &[$($($crate::Need::$need),+)?],
                |ctx| ::std::boxed::Box::pin($case(ctx)),
            ),
        )+)+];
    };
}
pub(crate) use cases;

/// A need is something that a case requires beyond the store's trait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// The case reaches the datastore from other processes.
    OtherProcesses,
    /// The case deletes a record directly in the datastore.
    DeleteRecord,
    /// The case counts round trips.
    RoundTrips,
    /// The case applies the schema separately from the store.
    Schema,
    /// The case opens a store on the application's pool.
    OwnPool,
    /// The case disconnects a client.
    Outages,
    /// The case stops and freezes a server.
    OwnServer,
    /// The case needs a clock that continues when the data are lost.
    CalendarClock,
    /// The case needs a store with queues.
    Queues,
    /// The case needs a machine that does not stall. After a stall it is repeated with longer
    /// leases.
    SteadyMachine,
}

impl Need {
    /// Returns why the need is not met, or `None` if it is met.
    pub(crate) fn missing(self, probes: &Probes<'_>, capabilities: &Capabilities) -> Option<Self> {
        let met = match self {
            Self::OtherProcesses => {
                probes.other_processes.is_some() && crate::process::can_start_workers()
            }
            Self::DeleteRecord => probes.delete_record.is_some(),
            Self::RoundTrips => probes.round_trips.is_some(),
            Self::Schema => probes.schema.is_some(),
            Self::OwnPool => probes.own_pool.is_some(),
            Self::Outages => probes.outages.is_some(),
            Self::OwnServer => probes.own_server.is_some(),
            Self::CalendarClock => capabilities.clock != StoreClock::Process,
            Self::Queues => capabilities.queues,
            // This is only known after the case has run.
            Self::SteadyMachine => true,
        };
        (!met).then_some(self)
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherProcesses => "other processes cannot reach it",
            Self::DeleteRecord => "the suite cannot delete its records",
            Self::RoundTrips => "its round trips cannot be counted",
            Self::Schema => "it has no schema apart from the store",
            Self::OwnPool => "it does not use pools",
            Self::Outages => "the suite cannot disconnect its clients",
            Self::OwnServer => "it has no server that a case may stop",
            Self::CalendarClock => "its clock does not outlive its data",
            Self::Queues => "it has no queues",
            Self::SteadyMachine => "the machine stalls",
        })
    }
}
