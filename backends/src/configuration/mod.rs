//! This module reads settings from options, the environment, files and defaults (feature `config`).
//!
//! For each setting, the first of these sources that has it applies:
//!
//! 1. an option: the program gives it with [`Loader::option`], or it is a flag of the command line;
//! 2. an environment variable: ours (`LEASEHOLD_TTL`), else the original's
//!    (`MASTER_JOB_HEARTBEAT_INTERVAL`);
//! 3. a configuration file: ours (`ttl = "15s"`), else the original's (`masterJobExecutor` in
//!    `config.json`);
//! 4. the default.
//!
//! *The original* is oe-master-job-executor. Its durations are whole milliseconds; ours are written
//! with their unit. [`KEYS`] has every setting of an application, with all its names.
//! `docs/reference/configuration.md` shows it as a table, together with the settings that only the
//! command line has. An application ignores those, so it can share a file with the command line.
//! [`Loader::keys`] adds settings of a program's own.
//!
//! # The files that are looked for
//!
//! If [`Loader::file`], `--config` or `LEASEHOLD_CONFIG` names a file, it is the only one, and must
//! exist. If its name ends in `.json` it is a `config.json` of the original, else a
//! `leasehold.toml`.
//!
//! If none is named, both of these are read:
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

mod compat;
mod files;
mod keys;
mod known;
mod layer;
mod loader;
mod option_value;
mod parse;
mod resolved;
mod settings;
mod source;
mod store_url;
mod trusted;
mod unneeded;

pub use keys::{KEYS, Key, Kind, Original};
pub use loader::Loader;
pub use option_value::OptionValue;
pub use settings::{Configuration, Setting};
pub use source::Origin;
pub use store_url::StoreUrl;

use crate::Result;

/// Reads the settings of this process from its environment and its files, and checks them.
///
/// [`Loader`] does the same with options. Warnings are logged.
///
/// # Errors
/// This fails for the same reasons as [`Loader::load`].
pub fn load() -> Result<Configuration> {
    let configuration = Loader::new().load()?;
    for warning in &configuration.warnings {
        tracing::warn!("{warning}");
    }
    Ok(configuration)
}
