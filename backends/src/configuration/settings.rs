//! This module has the settings that apply, and the source of each.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::keys::variable;
use super::source::Origin;
use super::store_url::StoreUrl;
use crate::{Client, Error, LockName, Namespace, OpenOptions, Result, Settings, Timing, url};

/// A configuration has settings that were read and checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Configuration {
    /// The locks are in the store of this URL, if one is set.
    pub store: Option<StoreUrl>,
    /// The locks are in this namespace of the store.
    pub namespace: Namespace,
    /// The store opens at most this many connections for its calls; `None` means the store's
    /// default.
    pub store_connections: Option<NonZeroU32>,
    /// This instance is shown with this label.
    pub label: Option<String>,
    /// The lock has this name, if one is set.
    pub lock_name: Option<LockName>,
    /// These settings say how leases are acquired, renewed and released.
    pub settings: Settings,
    /// If this is true, the client watches the store for hints that a name became free.
    pub hints: bool,
    /// These files were read.
    pub files: Vec<PathBuf>,
    /// Each of these sentences names a likely mistake, such as a variable `LEASEHOLD_TTTL`.
    pub warnings: Vec<String>,
    pub(super) shown: Vec<Setting>,
    pub(super) timing: Timing,
}

/// This shows a setting, its value and where the value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// The setting's [`Key`](super::Key) has this name.
    pub key: &'static str,
    /// The value is written as in a file, and is the default if none is set. It has no password of
    /// a store's URL; `None` means that there is no value.
    pub value: Option<String>,
    /// The value comes from this source.
    pub origin: Origin,
    /// This is the value of a setting that is a span of time.
    pub duration: Option<Duration>,
    /// This is the value of a setting that is the URL of a store, with its password.
    pub url: Option<StoreUrl>,
}

impl Configuration {
    /// Returns every setting in the order of [`KEYS`](super::KEYS), and then the program's own in
    /// the order in which it gave them to [`Loader::keys`](super::Loader::keys).
    #[must_use]
    pub fn all(&self) -> &[Setting] {
        &self.shown
    }

    /// Returns a setting, its value and where it comes from, or `None` if there is no such setting.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&Setting> {
        self.shown.iter().find(|setting| setting.key == key)
    }

    /// Returns the [`settings`](Self::settings) with every default filled in. A store may still
    /// refuse them, for example if its least ttl is longer.
    #[must_use]
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Returns the options with which the store is opened.
    #[must_use]
    pub fn open_options(&self) -> OpenOptions {
        OpenOptions::default()
            .with_namespace(self.namespace.clone())
            .with_max_connections(self.store_connections)
    }

    /// Returns the lock's name.
    ///
    /// # Errors
    /// This returns [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if none is set, and the
    /// message says where to set it.
    pub fn required_lock_name(&self) -> Result<&LockName> {
        self.lock_name.as_ref().ok_or_else(|| not_set("lock_name", "--lock"))
    }

    /// Opens the configured store, and returns a client with the configured namespace, label and
    /// settings.
    ///
    /// # Errors
    /// This returns [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if no store is set or the
    /// store refuses the settings, and fails for the same reasons as [`url::open`].
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
