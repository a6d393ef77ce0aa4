//! The settings that apply, and the source of each.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::keys::variable;
use super::source::Origin;
use super::store_url::StoreUrl;
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
    /// The label shown for this instance.
    pub label: Option<String>,
    /// The lock's name.
    pub lock_name: Option<LockName>,
    /// How leases are taken, kept and given up.
    pub settings: Settings,
    /// If this is true, the client watches the store for hints that a name became free.
    pub hints: bool,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// What is most likely a mistake, a sentence each, such as a variable `LEASEHOLD_TTTL`.
    pub warnings: Vec<String>,
    pub(super) shown: Vec<Setting>,
    pub(super) timing: Timing,
}

/// A setting, its value and where it comes from, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// The name of its [`Key`](super::Key).
    pub key: &'static str,
    /// The value as it would be written, the default filled in; without the password of a store's
    /// URL. None where there is no value.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// The value of a setting that is a span of time.
    pub duration: Option<Duration>,
}

impl Configuration {
    /// Every setting, in the order of [`KEYS`](super::KEYS); then the program's own, in the order in
    /// which it gave them to [`Loader::keys`](super::Loader::keys).
    #[must_use]
    pub fn all(&self) -> &[Setting] {
        &self.shown
    }

    /// Returns a setting, its value and where it comes from, or `None` if there is no such setting.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&Setting> {
        self.shown.iter().find(|setting| setting.key == key)
    }

    /// The [`settings`](Self::settings) with every default filled in. A store may still
    /// refuse them, for example if its least ttl is longer.
    #[must_use]
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// How the store is opened.
    #[must_use]
    pub fn open_options(&self) -> OpenOptions {
        OpenOptions::default()
            .with_namespace(self.namespace.clone())
            .with_max_connections(self.store_connections)
    }

    /// The lock's name.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) where none is set, naming where to.
    pub fn required_lock_name(&self) -> Result<&LockName> {
        self.lock_name.as_ref().ok_or_else(|| not_set("lock_name", "--lock"))
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
        let url = self.store.as_ref().ok_or_else(|| not_set("store", "--store"))?;
        let store = url::open(url.as_str(), &self.open_options()).await?;
        let builder = Client::builder(store).settings(self.settings.clone()).hints(self.hints);
        match &self.label {
            Some(label) => builder.label(label).build(),
            None => builder.build(),
        }
    }
}

/// Returns the error for a setting that must have a value. The flag is that of the command line.
fn not_set(name: &str, flag: &str) -> Error {
    let variable = variable(name);
    Error::invalid(format!("no {name} is set")).with_fix(format!(
        "give the option {flag} or {name}, {variable} or {name} in leasehold.toml"
    ))
}
