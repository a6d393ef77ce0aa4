//! Which store the command line works on.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcetera::BaseStrategy;
use leasehold::{Error, LockStore, Namespace, OpenOptions, Result, Schema, url};

use crate::exit::Failure;

/// The environment variable that names the store.
const VARIABLE: &str = "LEASEHOLD_STORE";

/// The store that was asked for, not yet opened.
#[derive(Clone, Debug)]
pub(crate) struct StoreChoice {
    url: String,
    namespace: Namespace,
    /// The database of the default store, which is made when it is first needed.
    default: Option<PathBuf>,
}

impl StoreChoice {
    pub(crate) fn new(url: Option<String>, namespace: Option<&str>) -> Result<Self, Failure> {
        let namespace = namespace.map(Namespace::new).transpose()?.unwrap_or_default();
        let (url, default) = match url.map_or_else(from_environment, |url| Ok(Some(url)))? {
            Some(url) => (url, None),
            None => {
                let path = default_path()?;
                let text = path.to_str().ok_or_else(|| {
                    Failure::usage(format!("the path {path:?} is not UTF-8; name a --store"))
                })?;
                (format!("sqlite:{text}"), Some(path))
            }
        };
        Ok(Self { url, namespace, default })
    }

    /// Opens it, and creates what is missing.
    pub(crate) async fn open(&self) -> Result<Arc<dyn LockStore>> {
        if let Some(folder) = self.default.as_deref().and_then(Path::parent) {
            // Whose locks they are, and why disabled, is nobody else's business.
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|error| {
                Error::new(
                    leasehold::ErrorKind::Denied,
                    format!("the folder {folder:?} of the default store cannot be made"),
                )
                .with_source(error)
                .with_fix("name a --store")
            })?;
        }
        url::open(&self.url, &self.options(Schema::Create)).await
    }

    /// Opens it as it is, creating nothing; none if it is the default one and does not exist yet.
    pub(crate) async fn open_existing(&self) -> Result<Option<Arc<dyn LockStore>>> {
        if self.default.as_deref().is_some_and(|path| !path.exists()) {
            return Ok(None);
        }
        url::open(&self.url, &self.options(Schema::Require)).await.map(Some)
    }

    /// The statements that create what it needs.
    pub(crate) fn schema(&self) -> Result<String> {
        url::schema(&self.url, &self.options(Schema::Require))
    }

    fn options(&self, schema: Schema) -> OpenOptions {
        OpenOptions { namespace: self.namespace.clone(), schema }
    }
}

fn from_environment() -> Result<Option<String>, Failure> {
    match std::env::var(VARIABLE) {
        Ok(url) => Ok(Some(url).filter(|url| !url.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(Failure::usage(format!("{VARIABLE}: {error}"))),
    }
}

fn default_path() -> Result<PathBuf, Failure> {
    let folders = etcetera::base_strategy::Xdg::new().map_err(|error| {
        Failure::usage(format!("no user's state folder: {error}; name a --store"))
    })?;
    let state = folders.state_dir().unwrap_or_else(|| folders.home_dir().join(".local/state"));
    Ok(state.join("leasehold").join("locks.db"))
}
