//! A case, and what it needs.

use std::fmt;

use futures_util::future::BoxFuture;
use leasehold_core::{Capabilities, StoreClock};

use crate::{CaseResult, Ctx, Probes, Promise};

/// One thing that must hold, as a program that fails when it does not.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Module and function, such as `fencing::token_increases_after_expiry`.
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

    /// Returns the promise that the case holds up.
    #[must_use]
    pub fn promise(&self) -> Promise {
        self.promise
    }

    /// What the case needs beyond the store's trait.
    #[must_use]
    pub fn needs(&self) -> &'static [Need] {
        self.needs
    }
}

/// Lists the cases of a module under the promises that they hold up: each is an
/// `async fn(Ctx) -> CaseResult`, with its needs if any.
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

/// What a case needs beyond the store's trait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// Reaching the datastore from other processes.
    OtherProcesses,
    /// Deleting a record behind the store's back.
    DeleteRecord,
    /// Counting round trips.
    RoundTrips,
    /// Handling the schema apart from the store.
    Schema,
    /// A store on the application's pool.
    OwnPool,
    /// Cutting a client off.
    Outages,
    /// Servers to stop and freeze.
    OwnServer,
    /// A clock that goes on whatever happens to the data.
    CalendarClock,
    /// The machine must not stall: if it did, the case is repeated with longer leases.
    SteadyMachine,
}

impl Need {
    /// Why the need is not met, if it is not.
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
            // This is only known after the case has run.
            Self::SteadyMachine => true,
        };
        (!met).then_some(self)
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherProcesses => "it cannot be reached from other processes of this program",
            Self::DeleteRecord => "its records cannot be deleted behind its back",
            Self::RoundTrips => "its round trips cannot be counted",
            Self::Schema => "it has no schema apart from the store",
            Self::OwnPool => "it has no pools",
            Self::Outages => "its clients cannot be cut off",
            Self::OwnServer => "it has no server that a case may stop",
            Self::CalendarClock => "its clock ends with its data",
            Self::SteadyMachine => "the machine stands still",
        })
    }
}
