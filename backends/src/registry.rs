//! Finds the backend of a URL by its scheme.

use std::sync::Arc;

use crate::common::url::split;
use crate::driver::Driver;
use crate::{Error, ErrorKind, LockStore, MemoryStore, OpenOptions, Result};

/// Opens the store of that URL.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) for a URL of an unknown form;
/// [`Unsupported`](ErrorKind::Unsupported) for a store that is not in this build, with the name of
/// the cargo feature that adds it; and the errors of the store itself. No message repeats the URL's
/// password.
///
/// # Cancel safety
/// A dropped call leaves the schema either as it was or complete.
///
/// ```
/// # async fn example() -> leasehold::Result<()> {
/// use leasehold::{LockName, LockStore, OpenOptions, url};
///
/// let store = url::open("memory:", &OpenOptions::default()).await?;
/// assert!(store.get(&LockName::new("nightly-report")?).await?.is_none());
/// # Ok(())
/// # }
/// ```
pub async fn open(url: &str, options: &OpenOptions) -> Result<Arc<dyn LockStore>> {
    (driver(url)?.open)(url, options).await
}

/// Returns the statements that create the schema of that URL's store, for an application's own
/// migrations. The text is empty if the store needs none. This connects to nothing.
///
/// # Errors
/// This fails for the same reasons as [`open`], as far as the URL itself is concerned.
pub fn schema(url: &str, options: &OpenOptions) -> Result<String> {
    (driver(url)?.schema)(&options.namespace)
}

/// States whether this build has a backend.
#[derive(Clone, Copy, Debug)]
enum Support {
    /// This build has it.
    Built(Driver),
    /// A build with that cargo feature has it.
    #[allow(dead_code, reason = "it is unused when all features are enabled")]
    Feature(&'static str),
}

/// Lists for each backend its schemes, the form of its URLs, and whether this build has it.
const BACKENDS: &[(&[&str], &str, Support)] = &[
    (&["sqlite"], "sqlite:PATH", support::sqlite()),
    (&["postgres", "postgresql"], "postgres://USER@HOST/DATABASE", support::postgres()),
    (&["mysql", "mariadb"], "mysql://USER@HOST/DATABASE", support::mysql()),
    (REDIS, "redis://HOST", support::redis()),
    (&["mongodb", "mongodb+srv"], "mongodb://HOST/DATABASE", support::mongodb()),
    (&["etcd", "etcds"], "etcd://HOST:PORT,HOST:PORT", support::etcd()),
    (&["memory"], "memory:", Support::Built(MEMORY)),
];

const REDIS: &[&str] = &[
    "redis",
    "rediss",
    "valkey",
    "valkeys",
    "redis+cluster",
    "rediss+cluster",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+unix",
    "valkey+unix",
    "unix",
];

/// Has a function for each backend that is a cargo feature and a module of the same name.
mod support {
    use super::Support;

    macro_rules! support {
        ($($feature:literal $backend:ident),+) => {$(
            pub(super) const fn $backend() -> Support {
                #[cfg(feature = $feature)]
                return Support::Built(crate::$backend::DRIVER);
                #[cfg(not(feature = $feature))]
                return Support::Feature($feature);
            }
        )+};
    }

    support!("etcd" etcd, "mongodb" mongodb, "mysql" mysql, "postgres" postgres, "redis" redis, "sqlite" sqlite);
}

const MEMORY: Driver = Driver {
    open: |url, _| {
        Box::pin(async move {
            match split(url) {
                Some((_, "" | "//")) => Ok(Arc::new(MemoryStore::new()) as Arc<dyn LockStore>),
                _ => Err(Error::invalid("the store URL has more text after \"memory:\"")
                    .with_fix("write memory:")),
            }
        })
    },
    schema: |_| Ok(String::new()),
    #[cfg(fuzzing)]
    label: |url| Ok(url.to_ascii_lowercase()),
};

/// Returns the driver for the URL's scheme. No message shows more of the URL than its scheme, since
/// the rest may contain a password.
pub(crate) fn driver(url: &str) -> Result<Driver> {
    // A text with other characters is not a scheme, and is not shown.
    let of_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let scheme =
        split(url).map(|(scheme, _)| scheme).filter(|scheme| scheme.chars().all(of_scheme));
    let Some(scheme) = scheme else {
        return Err(Error::invalid("the store URL has no scheme").with_fix(url_forms()));
    };
    let known = |schemes: &[&str]| schemes.iter().any(|known| known.eq_ignore_ascii_case(scheme));
    let Some((_, _, support)) = BACKENDS.iter().find(|(schemes, ..)| known(schemes)) else {
        let shown: String = scheme.chars().take(20).collect();
        return Err(
            Error::invalid(format!("unknown store URL scheme \"{shown}:\"")).with_fix(url_forms())
        );
    };
    match support {
        Support::Built(driver) => Ok(*driver),
        Support::Feature(feature) => {
            Err(unsupported(scheme, "is not in this build").with_fix(format!(
                "add the feature \"{feature}\" to the crate leasehold in Cargo.toml, or to the \
                 command line when you build it"
            )))
        }
    }
}

fn unsupported(scheme: &str, why: &str) -> Error {
    let scheme = scheme.to_ascii_lowercase();
    Error::new(ErrorKind::Unsupported, format!("the backend of \"{scheme}:\" URLs {why}"))
}

fn url_forms() -> String {
    let forms: Vec<_> = BACKENDS.iter().map(|(_, form, _)| *form).collect();
    format!("write one of {}", forms.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> Error {
        schema(url, &OpenOptions::default()).unwrap_err()
    }

    #[test]
    fn a_missing_backend_names_its_feature() {
        for (schemes, _, support) in BACKENDS {
            for scheme in *schemes {
                let result = schema(&format!("{scheme}://u:secret@h/d"), &OpenOptions::default());
                match support {
                    Support::Built(_) => assert!(result.is_ok(), "{scheme}"),
                    Support::Feature(feature) => {
                        let error = result.unwrap_err();
                        assert!(error.is_unsupported(), "{error}");
                        assert!(error.to_string().contains(&format!("feature \"{feature}\"")));
                        assert!(!error.to_string().contains("secret"), "{error}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_invalid_store_url_lists_the_forms_without_the_password() {
        for url in [
            "",
            "/var/lib/locks.db",
            "postgress://u:secret@h",
            ":",
            "\u{0}:",
            "é:x",
            "C:\\x",
            "h?p=secret:",
        ] {
            let error = refusal(url);
            assert!(error.is_invalid(), "{url}: {error}");
            let text = error.to_string();
            assert!(text.contains("sqlite:PATH") && text.contains("memory:"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_memory_url_has_no_path() {
        for url in ["memory:", "memory://", "MEMORY:"] {
            assert_eq!(open(url, &OpenOptions::default()).await.unwrap().label(), "memory:");
        }
        assert!(open("memory:x", &OpenOptions::default()).await.unwrap_err().is_invalid());
        assert_eq!(schema("memory:", &OpenOptions::default()).unwrap(), "");
    }
}
