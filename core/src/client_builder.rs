//! A client builder has the settings of a client that is not built yet.

use std::sync::Arc;

use crate::engine::{Engine, EngineOptions};
use crate::{Clock, Error, Holder, LockStore, Result, Settings, SystemClock, Timing};

/// Builds a [`Client`](crate::Client).
#[derive(Debug)]
pub struct ClientBuilder {
    store: Arc<dyn LockStore>,
    holder: Holder,
    clock: Arc<dyn Clock>,
    settings: Settings,
    seed: Option<u64>,
    deterministic: bool,
    hints: bool,
}

impl ClientBuilder {
    pub(crate) fn new(store: Arc<dyn LockStore>) -> Self {
        Self {
            store,
            holder: Holder::current(),
            clock: Arc::new(SystemClock),
            settings: Settings::default(),
            seed: None,
            deterministic: false,
            hints: true,
        }
    }

    /// Sets the application's label for this instance, such as `10.0.0.7:8080`.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        Self { holder: self.holder.with_label(label), ..self }
    }

    /// Sets the holder that identifies this instance, instead of [`Holder::current`].
    #[must_use]
    pub fn holder(self, holder: Holder) -> Self {
        Self { holder, ..self }
    }

    /// Sets the settings of every lock and election that does not have its own.
    #[must_use]
    pub fn settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Sets whether the client watches the store for hints; it does so by default, while it waits
    /// for a lock or leads an election, and from the first heartbeat of a lock on. Without hints,
    /// waiters notice a change at their next [poll](Settings::poll_interval), and a disabled holder
    /// at its next heartbeat. Tasks of the client itself hand a lock over without hints.
    ///
    /// Turn hints off where a watch is not available or causes problems, such as with a connection
    /// pooler that shares sessions among clients.
    #[must_use]
    pub fn hints(self, hints: bool) -> Self {
        Self { hints, ..self }
    }

    /// Sets a clock other than the machine's, for tests. Unless that clock [says
    /// otherwise](Clock::is_real_time), heartbeats and elections then run in the caller's runtime.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Sets the seed of the jitter, for tests.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Derives lease ids from the seed too, so that a simulation can be repeated. Two clients with
    /// the same seed would mistake each other's leases for their own.
    #[cfg(feature = "unstable")]
    #[must_use]
    pub fn deterministic(self, seed: u64) -> Self {
        Self { deterministic: true, ..self.seed(seed) }
    }

    /// Checks the settings and the label, and creates the engine of the client.
    pub(crate) fn build_engine(self) -> Result<(Engine, Timing)> {
        const MAX_LABEL_BYTES: usize = 255;
        let label = self.holder.label.as_deref().unwrap_or_default();
        if label.len() > MAX_LABEL_BYTES || label.contains('\0') {
            return Err(Error::invalid(format!("invalid label {label:?}"))
                .with_fix(format!("use at most {MAX_LABEL_BYTES} bytes without NUL")));
        }
        let timing = self.settings.resolve(&self.store.capabilities())?;
        let Self { store, holder, clock, seed, deterministic, hints, .. } = self;
        let options =
            EngineOptions { clock, holder, timing: timing.clone(), seed, deterministic, hints };
        Ok((Engine::new(store, options), timing))
    }
}
