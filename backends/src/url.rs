//! From a URL to a store.
//!
//! | URL | Store |
//! |---|---|
//! | `memory:` | this process's memory; each opening is a store of its own |
//! | `sqlite:PATH`, `sqlite://PATH` | an SQLite file, with feature `sqlite` |
//! | `sqlite::memory:` | an SQLite database in this process's memory, with feature `sqlite` |
//! | `postgres://USER:PASSWORD@HOST/DATABASE`, `postgresql://…` | PostgreSQL, with feature `postgres` |
//! | `mysql://USER:PASSWORD@HOST/DATABASE`, `mariadb://…` | MySQL or MariaDB, with feature `mysql` |
//! | `redis://…`, `rediss://…`, `valkey://…`, `redis+unix:///PATH`, `redis+cluster://…`, `redis+sentinel://…` | Redis or Valkey, with feature `redis` |
//! | `mongodb://HOST/DATABASE`, `mongodb+srv://…` | MongoDB, with feature `mongodb` |
//! | `etcd://HOST:PORT,HOST:PORT`, `etcds://…` | etcd, with feature `etcd` |
//!
//! Options such as those of TLS are each driver's own; the folder `docs/backends` has a page for each.
//!
//! User and password are percent-encoded, and so is an `@` behind the host (`%40`), but for one in the
//! value of the option `appName`, or of any where the host has neither password nor port before it.
//!
//! The PATH of an SQLite file is taken literally, relative to the working folder unless it starts
//! with `/`: nothing in it is percent-decoded, and `?` and `#` are characters like others. Schemes
//! are read without regard to case.

use std::num::NonZeroU32;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::{Error, ErrorKind, LockStore, MemoryStore, Namespace, Result};

/// How a store is opened.
///
/// ```
/// use leasehold::{Namespace, OpenOptions, Schema};
///
/// let options = OpenOptions { namespace: Namespace::new("billing")?, ..OpenOptions::default() };
/// assert_eq!(options.schema, Schema::Create);
/// # Ok::<(), leasehold::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// The namespace of the locks in the store: it names their table or prefixes their keys.
    pub namespace: Namespace,
    /// What to do where the schema, or a database file, is missing.
    pub schema: Schema,
    /// The store opens at most this many connections for its calls; `None` means the store's
    /// default.
    ///
    /// PostgreSQL, MySQL and MongoDB have such a limit. One connection for heartbeats and one for
    /// hints are not counted where the store's page says so.
    pub max_connections: Option<NonZeroU32>,
}

/// What opening a store does where its schema is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Schema {
    /// Creates it. Where it is in place, nothing is changed and no right to create it is needed.
    #[default]
    Create,
    /// Fails: the application's own migrations create it, from the text of [`schema`].
    Require,
}

/// Opens the store of that URL.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) for a URL that no store has; [`Unsupported`](ErrorKind::Unsupported)
/// for a store that this build lacks, naming the cargo feature that adds it; and whatever the store
/// answers. No message repeats the URL's password.
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

/// The statements that create the schema which that URL's store expects, for an application's own
/// migrations; empty where a store needs none. Connects to nothing.
///
/// # Errors
/// As [`open`] for the URL itself.
pub fn schema(url: &str, options: &OpenOptions) -> Result<String> {
    (driver(url)?.schema)(&options.namespace)
}

/// A store that is being opened.
pub(crate) type Opening<'a> = BoxFuture<'a, Result<Arc<dyn LockStore>>>;

/// What each backend's module offers to this one. The URL comes whole, with a scheme of the backend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Driver {
    pub(crate) open: for<'a> fn(&'a str, &'a OpenOptions) -> Opening<'a>,
    pub(crate) schema: fn(&Namespace) -> Result<String>,
    /// Reads the URL, and connects to nothing.
    #[cfg(fuzzing)]
    pub(crate) label: fn(&str) -> Result<String>,
}

/// Whether this build has a backend.
#[derive(Clone, Copy, Debug)]
enum Support {
    /// It has.
    Built(Driver),
    /// A build with that cargo feature has.
    #[allow(dead_code, reason = "no backend is of this kind when all features are on")]
    Feature(&'static str),
}

/// One line per backend: the schemes, the form to show, and who has it.
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

/// A function for each backend that is a cargo feature and a module of the same name.
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
                _ => Err(Error::invalid("a store URL has more after \"memory:\"")
                    .with_fix("write memory: alone")),
            }
        })
    },
    schema: |_| Ok(String::new()),
    #[cfg(fuzzing)]
    label: |url| Ok(url.to_ascii_lowercase()),
};

/// The scheme and what comes after its colon.
pub(crate) fn split(url: &str) -> Option<(&str, &str)> {
    url.split_once(':')
}

/// Refuses an `@` behind the host, unless it is plainly part of an option's value. It most likely
/// ends a password with a `/`, `?` or `#` in it that is not percent-encoded: what stands before these
/// would be taken for a host, and what follows, for a path or an option, which messages show.
#[cfg_attr(
    not(any(
        feature = "etcd",
        feature = "mongodb",
        feature = "mysql",
        feature = "postgres",
        feature = "redis"
    )),
    allow(dead_code, reason = "these use it")
)]
pub(crate) fn check_login(url: &str) -> Result<()> {
    let rest = split(url).map_or("", |(_, rest)| rest.strip_prefix("//").unwrap_or(rest));
    let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (path, query) = behind.split_once('?').unwrap_or((behind, ""));
    let no_password = !authority.contains(':');
    // Azure's MongoDB writes appName=@account@.
    let plain = |name: &str| no_password || name.eq_ignore_ascii_case("appName");
    let doubtful = |option: &str| {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        name.contains('@') || value.contains('@') && (!plain(name) || value.contains('#'))
    };
    if path.contains('@') || query.split('&').any(doubtful) {
        return Err(Error::invalid("the URL has an @ behind its host").with_fix(
            "percent-encode what stands in it: / as %2F, ? as %3F, # as %23 and @ as %40",
        ));
    }
    Ok(())
}

/// No message shows more of the URL than its scheme, since the rest may hold a password.
pub(crate) fn driver(url: &str) -> Result<Driver> {
    // What has other characters is none, and may be anything: it is not shown.
    let of_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let scheme =
        split(url).map(|(scheme, _)| scheme).filter(|scheme| scheme.chars().all(of_scheme));
    let Some(scheme) = scheme else {
        return Err(Error::invalid("a store URL has no scheme").with_fix(forms()));
    };
    let known = |schemes: &[&str]| schemes.iter().any(|known| known.eq_ignore_ascii_case(scheme));
    let Some((_, _, support)) = BACKENDS.iter().find(|(schemes, ..)| known(schemes)) else {
        let shown: String = scheme.chars().take(20).collect();
        return Err(Error::invalid(format!("no store has URLs that start with \"{shown}:\""))
            .with_fix(forms()));
    };
    match support {
        Support::Built(driver) => Ok(*driver),
        Support::Feature(feature) => Err(unsupported(scheme, "is not in this build").with_fix(
            format!("add the feature \"{feature}\" to the crate leasehold in Cargo.toml"),
        )),
    }
}

fn unsupported(scheme: &str, why: &str) -> Error {
    let scheme = scheme.to_ascii_lowercase();
    Error::new(ErrorKind::Unsupported, format!("the backend of \"{scheme}:\" URLs {why}"))
}

fn forms() -> String {
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
    fn a_backend_that_is_not_there_says_what_to_add() {
        for (schemes, _, support) in BACKENDS {
            for scheme in *schemes {
                let asked = schema(&format!("{scheme}://u:secret@h/d"), &OpenOptions::default());
                match support {
                    Support::Built(_) => assert!(asked.is_ok(), "{scheme}"),
                    Support::Feature(feature) => {
                        let error = asked.unwrap_err();
                        assert!(error.is_unsupported(), "{error}");
                        assert!(error.to_string().contains(&format!("feature \"{feature}\"")));
                        assert!(!error.to_string().contains("secret"), "{error}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_store_url_lists_the_forms_and_keeps_the_password() {
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

    #[test]
    fn a_password_that_is_not_encoded_is_not_taken_for_a_path() {
        for rest in ["/secret@h/d", "12/secret@h/d", "?secret@h", "?ca=secret@h", "#secret@h/d"] {
            for scheme in ["redis", "redis+sentinel", "etcd", "postgres", "mysql", "mongodb"] {
                let error = check_login(&format!("{scheme}://u:{rest}")).unwrap_err();
                assert!(error.is_invalid() && !error.to_string().contains("secret"), "{error}");
            }
        }
        for url in [
            "etcd://u:p@h/a%40b",
            "redis://u:p@h",
            "redis://h?ca=/a",
            "postgres://h/d?user=me@corp",
            "mongodb://u:p@h:10255/?ssl=true&appName=@account@",
            "postgres:",
            "",
        ] {
            assert!(check_login(url).is_ok(), "{url}");
        }
        for url in [
            "mongodb://u:p@a/d@b?c=@d",
            "mongodb://u:p@a?b@c",
            "mongodb://u:p@a?appName=c#d@e",
            "postgres://u:p@ss?a=word@host/d",
            "postgres://u:p@h:5432/d?user=me@corp",
        ] {
            assert!(check_login(url).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn memory_takes_no_more_than_its_scheme() {
        for url in ["memory:", "memory://", "MEMORY:"] {
            assert_eq!(open(url, &OpenOptions::default()).await.unwrap().label(), "memory:");
        }
        assert!(open("memory:x", &OpenOptions::default()).await.unwrap_err().is_invalid());
        assert_eq!(schema("memory:", &OpenOptions::default()).unwrap(), "");
    }
}
