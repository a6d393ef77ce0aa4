//! The store choice says which store the command line uses.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcetera::BaseStrategy;
use leasehold::configuration::Configuration;
use leasehold::url::{self, StoreAddress};
use leasehold::{Error, ErrorKind, LockStore, OpenOptions, Result, Schema};

use crate::io::exit::Failure;

/// A store choice is the requested store, which is not open yet.
#[derive(Clone, Debug)]
pub(crate) struct StoreChoice {
    url: String,
    options: OpenOptions,
    /// The default store has this database, which is created when it is first needed.
    default: Option<PathBuf>,
}

impl StoreChoice {
    pub(crate) fn new(configuration: &Configuration) -> Result<Self, Failure> {
        let (url, default) = match &configuration.store {
            Some(url) => (url.as_str().to_owned(), None),
            None => {
                let path = default_path()?;
                let text = path.to_str().ok_or_else(|| {
                    Failure::usage(format!("the path {path:?} is not UTF-8; use --store"))
                })?;
                (format!("sqlite:{text}"), Some(path))
            }
        };
        Ok(Self { url, options: configuration.open_options(), default })
    }

    /// Returns the store's URL, which may contain a password.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Opens the store, and creates its schema if it is missing.
    pub(crate) async fn open(&self) -> Result<Arc<dyn LockStore>> {
        if let Some(folder) = self.default.as_deref().and_then(Path::parent) {
            // Only this user may read the locks and the reasons.
            let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            created.map_err(|error| {
                Error::new(
                    ErrorKind::Denied,
                    format!("cannot create the default store's folder {folder:?}"),
                )
                .with_source(error)
                .with_fix("use --store")
            })?;
        }
        url::open(&self.url, &self.options(Schema::Create)).await
    }

    /// Opens the store without creating anything; returns `None` if the default store does not
    /// exist yet.
    pub(crate) async fn open_existing(&self) -> Result<Option<Arc<dyn LockStore>>> {
        if let Some(path) = self.default.as_deref() {
            let exists = path.try_exists().map_err(|error| {
                // An inaccessible store must not look empty.
                let message = format!("cannot access the default store {path:?}");
                Error::new(ErrorKind::Denied, message).with_source(error).with_fix("use --store")
            })?;
            if !exists {
                return Ok(None);
            }
        }
        url::open(&self.url, &self.options(Schema::Require)).await.map(Some)
    }

    /// Returns what another process of this program needs to open the same store.
    pub(crate) fn address(&self) -> StoreAddress {
        StoreAddress::new(&self.url, &self.options)
    }

    /// Returns the statements that create the store's schema.
    pub(crate) fn schema(&self) -> Result<String> {
        url::schema(&self.url, &self.options(Schema::Require))
    }

    fn options(&self, schema: Schema) -> OpenOptions {
        self.options.clone().with_schema(schema)
    }
}

fn default_path() -> Result<PathBuf, Failure> {
    let folders = etcetera::base_strategy::Xdg::new()
        .map_err(|error| Failure::usage(format!("no user state folder: {error}; use --store")))?;
    let state = folders.state_dir().unwrap_or_else(|| folders.home_dir().join(".local/state"));
    Ok(state.join("leasehold").join("locks.db"))
}
