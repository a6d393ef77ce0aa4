//! Settings from options, the environment, configuration files and defaults, with feature `config`.
//!
//! For each setting on its own, the first of these that has it holds:
//!
//! 1. an option: what the program gives with [`Loader::option`], or a flag of the command line;
//! 2. an environment variable: ours (`LEASEHOLD_TTL`), else the original's
//!    (`MASTER_JOB_HEARTBEAT_INTERVAL`);
//! 3. a configuration file: ours (`ttl = "15s"`), else the original's (`masterJobExecutor` in
//!    `config.json`);
//! 4. the default.
//!
//! *The original* is oe-master-job-executor. Its durations are whole milliseconds; ours are written
//! with their unit. [`KEYS`] has every setting, with all its names; it is printed as a table in
//! `docs/reference/configuration.md`.
//!
//! # The files that are looked for
//!
//! The file that [`Loader::file`], `--config` or `LEASEHOLD_CONFIG` names, and then no other; it must
//! exist. If its name ends in `.json` it is a `config.json` of the original, else a `leasehold.toml`.
//!
//! Where none is named, both of these:
//!
//! * the first `leasehold.toml` that exists: in the working folder, in the user's folder of
//!   configuration (`$XDG_CONFIG_HOME/leasehold`, else `~/.config/leasehold`; on Windows below
//!   `%APPDATA%`), in `/etc/leasehold`;
//! * `config.json` in the working folder, if it has an object `masterJobExecutor`.
//!
//! A folder that does not exist or may not be searched has no such file; a file that exists and
//! cannot be read is an error. On Unix the files in the working folder are left alone, with a
//! warning, if others could have written them: the folder and the file must belong to this process's
//! user or to root, and may not be writable by everybody. A file that is named is always read.
//!
//! # Example
//!
//! ```no_run
//! # async fn example() -> leasehold::Result<()> {
//! let configuration = leasehold::configuration::load()?;
//! let client = configuration.client().await?;
//! let name = configuration.required_lock_name()?;
//! let lock = client.lock(name)?;
//! # let _ = lock;
//! # Ok(())
//! # }
//! ```

mod files;
mod keys;
mod layer;
mod loader;
mod origin;
mod original;
mod reference;
mod resolved;
mod serve;
mod store_url;
mod trusted;
mod unneeded;
mod value;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

pub use keys::{KEYS, Key, Kind, Original};
pub use loader::{Loader, OptionValue};
pub use origin::Origin;
pub use reference::reference;
pub use serve::Serve;
pub use store_url::StoreUrl;
pub use value::LogFormat;

use crate::{Client, Error, LockName, Namespace, OpenOptions, Result, Settings, Timing, url};

/// Settings that were read and checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Configuration {
    /// The store's URL.
    pub store: Option<StoreUrl>,
    /// The namespace of the locks in the store.
    pub namespace: Namespace,
    /// The store opens at most this many connections for its calls; `None` means the store's
    /// default.
    pub store_connections: Option<NonZeroU32>,
    /// What this instance is called where its locks are shown.
    pub label: Option<String>,
    /// The lock's name.
    pub lock_name: Option<LockName>,
    /// How leases are taken, kept and given up.
    pub settings: Settings,
    /// If this is true, the client watches the store for hints that a name became free.
    pub hints: bool,
    /// How long to wait for the lock; none for as long as it takes.
    pub wait: Option<Duration>,
    /// Whether the command line campaigns again when the lock is lost.
    pub respawn: bool,
    /// What the command line logs.
    pub log: Option<String>,
    /// How the command line logs.
    pub log_format: LogFormat,
    /// Where `leasehold run` shows its metrics; none for nowhere.
    pub metrics: Option<SocketAddr>,
    /// How the command line serves the HTTP control API.
    pub serve: Serve,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// What is most likely a mistake, a sentence each, such as a variable `LEASEHOLD_TTTL`.
    pub warnings: Vec<String>,
    shown: Vec<Setting>,
    timing: Timing,
}

/// A setting, its value and where it comes from, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// The name of its [`Key`].
    pub key: &'static str,
    /// The value as it would be written, the default filled in; without the password of a store's
    /// URL. None where there is no value.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// The value of a setting that is a span of time.
    pub duration: Option<Duration>,
}

/// Reads the settings of this process from its environment and its files, and checks them.
///
/// [`Loader`] does the same with options. Warnings are logged.
///
/// # Errors
/// As [`Loader::load`].
pub fn load() -> Result<Configuration> {
    let configuration = Loader::new().load()?;
    for warning in &configuration.warnings {
        tracing::warn!("{warning}");
    }
    Ok(configuration)
}

impl Configuration {
    /// Every setting, in the order of [`KEYS`].
    #[must_use]
    pub fn all(&self) -> &[Setting] {
        &self.shown
    }

    /// Where the value of a setting comes from; none if there is no such setting.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.shown.iter().find(|setting| setting.key == key).map(|setting| &setting.origin)
    }

    /// The [`settings`](Self::settings) with every default filled in. A store may refuse them all
    /// the same, such as one with a longer least ttl.
    #[must_use]
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// How the store is opened.
    #[must_use]
    pub fn open_options(&self) -> OpenOptions {
        OpenOptions {
            namespace: self.namespace.clone(),
            max_connections: self.store_connections,
            ..OpenOptions::default()
        }
    }

    /// The lock's name.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) where none is set, naming where to.
    pub fn required_lock_name(&self) -> Result<&LockName> {
        self.lock_name.as_ref().ok_or_else(|| not_set("lock_name"))
    }

    /// A client of the configured store, with the configured namespace, label and settings.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) where no store is set, or the store refuses
    /// the settings; else as [`url::open`].
    ///
    /// # Cancel safety
    /// A dropped call leaves the store's schema either as it was or complete.
    pub async fn client(&self) -> Result<Client> {
        let url = self.store.as_ref().ok_or_else(|| not_set("store"))?;
        let store = url::open(url.as_str(), &self.open_options()).await?;
        let builder = Client::builder(store).settings(self.settings.clone()).hints(self.hints);
        match &self.label {
            Some(label) => builder.label(label).build(),
            None => builder.build(),
        }
    }
}

fn not_set(name: &str) -> Error {
    let names = KEYS.iter().find(|key| key.name == name).map(|key| {
        let (flag, variable) = (key.flag(), key.variable());
        format!("give the option {flag} or {name}, {variable} or {name} in leasehold.toml")
    });
    Error::invalid(format!("no {name} is set")).with_fix(names.unwrap_or_default())
}
