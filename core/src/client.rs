//! An application's access to one store: who it is, and everything it makes from it.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Engine, EngineOptions};
use crate::observer::{self, Observations};
use crate::{
    Clock, DisableOptions, DisableOutcome, Disablement, Election, EnableOutcome, Error, ErrorKind,
    Holder, InstanceRecord, ListOptions, Lock, LockName, LockRecord, LockStore, Reason, Result,
    Settings, SystemClock, Timing,
};

/// One application instance on one store.
///
/// It owns the holder's identity, one heartbeat and one watch, which all its locks, elections and
/// observers share. Clones are cheap and of the same instance; one per process and store is
/// enough.
#[derive(Clone, Debug)]
pub struct Client {
    engine: Arc<Engine>,
    timing: Timing,
}

impl Client {
    /// An instance with the default settings.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), when the store grants no lease as short
    /// as the default ttl.
    pub fn new(store: impl LockStore) -> Result<Self> {
        Self::builder(Arc::new(store)).build()
    }

    /// An instance with settings of its own.
    pub fn builder(store: Arc<dyn LockStore>) -> ClientBuilder {
        ClientBuilder {
            store,
            holder: Holder::current(),
            clock: Arc::new(SystemClock),
            settings: Settings::default(),
            seed: None,
            deterministic: false,
            hints: true,
        }
    }

    /// Who this instance is to others.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        &self.engine.holder
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn LockStore> {
        self.engine.store.inner()
    }

    /// The lock of that name.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a name that cannot be one.
    pub fn lock(&self, name: impl AsRef<str>) -> Result<Lock> {
        Ok(Lock::new(self.engine.clone(), LockName::new(name)?, self.timing.clone()))
    }

    /// The election of that name's leader.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a name that cannot be one.
    pub fn election(&self, name: impl AsRef<str>) -> Result<Election> {
        Ok(Election::new(self.engine.clone(), LockName::new(name)?, self.timing.clone()))
    }

    /// Who leads that name, as it changes, without campaigning.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a name that cannot be one.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn observe(&self, name: impl AsRef<str>) -> Result<Observations> {
        Ok(observer::observe(self.engine.clone(), LockName::new(name)?, self.timing.clone()))
    }

    /// Keeps the name from being granted until it is enabled; its leader stops in order.
    ///
    /// # Errors
    /// For a name or a reason that cannot be one, and what the store reports.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn disable(
        &self,
        name: impl AsRef<str>,
        reason: impl AsRef<str>,
    ) -> Result<DisableOutcome> {
        let name = LockName::new(name)?;
        let reason = Reason::new(reason).map_err(|error| error.for_lock(&name))?;
        let by = Some(self.holder().to_string());
        let options = DisableOptions { reason, by };
        self.engine.store.disable(&name, &options, self.timing.call_limit()).await
    }

    /// Lets the name be granted again.
    ///
    /// # Errors
    /// For a name that cannot be one, and what the store reports.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn enable(&self, name: impl AsRef<str>) -> Result<EnableOutcome> {
        let name = LockName::new(name)?;
        self.engine.store.enable(&name, self.timing.call_limit()).await
    }

    /// Has the leader of that name step down in order, so that the lead moves on to another
    /// candidate that is awake.
    ///
    /// It is a [`disable`](Self::disable), which marks the lease in force as ending, followed at
    /// once by an [`enable`](Self::enable), which does not undo that. Whoever holds the lease when
    /// the disable arrives stops with that reason. It campaigns again half a second after it has
    /// stopped (or a poll interval, if that is less), so that others hear of it before; where none
    /// takes the lead by then, it leads again.
    ///
    /// A name that is disabled already is left as it is: its holder stops anyway.
    ///
    /// # What may remain
    /// Between the two store, for a round trip, the name is disabled. When this process dies then,
    /// or the store becomes unreachable for longer than the retries last, the name stays disabled
    /// with that reason until somebody enables it. Another's disable that falls between the two is
    /// answered with this one's reason, and undone.
    ///
    /// # Cancel safety
    /// Once begun it goes on by itself when the future is dropped.
    ///
    /// # Errors
    /// For a name or a reason that cannot be one, and what the store reports. The message says so
    /// when the name may have been left disabled.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn resign(
        &self,
        name: impl AsRef<str>,
        reason: impl AsRef<str>,
    ) -> Result<ResignOutcome> {
        let name = LockName::new(name)?;
        let reason = Reason::new(reason).map_err(|error| error.for_lock(&name))?;
        let client = self.clone();
        let task = tokio::spawn(async move { client.disable_and_enable(&name, &reason).await });
        task.await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::OutcomeUnknown, "the runtime shut down during the call")
                .during("resign")
                .with_fix("check whether the lock was left disabled"))
        })
    }

    async fn disable_and_enable(&self, name: &LockName, reason: &Reason) -> Result<ResignOutcome> {
        /// An enable that did not arrive leaves the name disabled, so it is worth some patience.
        const ATTEMPTS: u32 = 4;
        const PAUSE: Duration = Duration::from_millis(250);

        let record = self.status(name).await?.into_result()?;
        if let Some(disabled) = record.disabled {
            return Ok(ResignOutcome::Disabled(disabled));
        }
        let Some(lease) = record.lease else { return Ok(ResignOutcome::NotHeld) };
        if let DisableOutcome::AlreadyDisabled(disabled) = self
            .disable(name, reason)
            .await
            .map_err(|error| error.with_fix("check whether the lock was left disabled"))?
        {
            return Ok(ResignOutcome::Disabled(disabled));
        }
        let mut attempt = 1;
        loop {
            match self.enable(name).await {
                Ok(_) => return Ok(ResignOutcome::Resigning(lease.holder)),
                Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                    let clock = self.engine.store.clock();
                    clock.sleep_until(clock.now() + PAUSE * attempt).await;
                    attempt += 1;
                }
                Err(error) => {
                    return Err(error.with_fix(
                        "the leader will step down, but enabling the lock again failed: \
                         enable it by hand",
                    ));
                }
            }
        }
    }

    /// What the store knows of a name.
    ///
    /// # Errors
    /// For a name that cannot be one, and what the store reports.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn status(&self, name: impl AsRef<str>) -> Result<LockRecord> {
        let name = LockName::new(name)?;
        let record = self.engine.store.get(&name, self.timing.call_limit()).await?;
        Ok(record.unwrap_or_else(|| LockRecord::unused(name)))
    }

    /// The instances that campaign in elections on this store, as they have made themselves known;
    /// one that died is known until its record runs out, a ttl after its last heartbeat.
    ///
    /// # Errors
    /// What the store reports.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        self.engine.store.instances(self.timing.call_limit()).await
    }

    /// What the store knows of every name.
    ///
    /// # Errors
    /// What the store reports.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn list(&self) -> Result<Vec<LockRecord>> {
        self.engine.store.list(self.timing.call_limit()).await
    }

    /// What the store knows of one page of names.
    ///
    /// # Errors
    /// What the store reports.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn list_page(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        self.engine.store.list_page(options, self.timing.call_limit()).await
    }
}

/// What became of a [`Client::resign`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResignOutcome {
    /// The lease in force is marked as ending; it was this holder's a moment before.
    Resigning(Holder),
    /// Nobody held the name, and nothing changed.
    NotHeld,
    /// The name was disabled already, so that its holder stops anyway; nothing changed.
    Disabled(Disablement),
}

/// Makes a [`Client`].
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
    /// What the application calls this instance, such as `10.0.0.7:8080`.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        Self { holder: self.holder.with_label(label), ..self }
    }

    /// Who this instance is, instead of [`Holder::current`].
    #[must_use]
    pub fn holder(self, holder: Holder) -> Self {
        Self { holder, ..self }
    }

    /// The settings of every lock and election that has none of its own.
    #[must_use]
    pub fn settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Sets whether the client watches the store for hints; it does so by default. Without hints,
    /// waiters notice a change at their next [poll](Settings::poll_interval), and a disabled holder
    /// at its next heartbeat.
    ///
    /// Turn hints off where a watch is not available or does harm, such as behind a connection
    /// pooler that shares sessions among clients.
    #[must_use]
    pub fn hints(self, hints: bool) -> Self {
        Self { hints, ..self }
    }

    /// Sets another clock than the machine's, for tests. Unless that clock [says
    /// otherwise](Clock::is_real_time), heartbeats and elections then run in the caller's runtime.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Draws jitter from this seed, for tests.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Draws lease ids from this seed too, so that a simulation can be repeated. Two clients with
    /// one such seed would take each other's leases for their own.
    #[doc(hidden)]
    #[must_use]
    pub fn deterministic(self, seed: u64) -> Self {
        Self { deterministic: true, ..self.seed(seed) }
    }

    /// The client.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), when the settings contradict each other
    /// or the store, or the label cannot be one.
    pub fn build(self) -> Result<Client> {
        const MAX_LABEL_BYTES: usize = 255;
        let label = self.holder.label.as_deref().unwrap_or_default();
        if label.len() > MAX_LABEL_BYTES || label.contains('\0') {
            return Err(Error::invalid(format!("invalid label {label:?}"))
                .with_fix(format!("use at most {MAX_LABEL_BYTES} bytes without NUL")));
        }
        let timing = self.settings.resolve(&self.store.capabilities())?;
        let Self { store, holder, clock, seed, deterministic: repeatable, hints, .. } = self;
        let parts =
            EngineOptions { clock, holder, timing: timing.clone(), seed, repeatable, hints };
        let engine = Engine::new(store, parts);
        Ok(Client { engine: Arc::new(engine), timing })
    }
}
