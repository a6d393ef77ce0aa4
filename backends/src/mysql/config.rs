//! Where the database is, and the pool of connections that a store opens for itself.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};

use crate::common::pooled::MOST_CALLS;
use crate::url::check_login;
use crate::{Error, Result};

/// How long a call waits for a connection of the pool.
const POOL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection that the application does not use any more is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a URL as sqlx does. `mariadb://` is the same as `mysql://`.
pub(super) fn from_url(url: &str) -> Result<MySqlConnectOptions> {
    check_login(url)?;
    let wrong = |message: &str| {
        Error::invalid(message).with_fix("write mysql://USER:PASSWORD@HOST:PORT/DATABASE")
    };
    let options = MySqlConnectOptions::from_str(url)
        .map_err(|source| wrong("this is no URL of MySQL's").with_source(source))?;
    if options.get_host().contains(',') {
        return Err(wrong("a URL with several hosts is not supported")
            .with_fix("name one host that leads to the primary, such as a proxy's"));
    }
    if options.get_database().is_none_or(str::is_empty) {
        return Err(wrong("the URL names no database"));
    }
    Ok(options)
}

/// The store's name in messages.
pub(super) fn label(options: &MySqlConnectOptions) -> String {
    let (user, database) = (options.get_username(), options.get_database().unwrap_or_default());
    match options.get_socket() {
        Some(socket) => format!("mysql://{user}@/{database}?socket={}", socket.display()),
        None => format!("mysql://{user}@{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

/// A pool for the application's own statements, which connects when it is used first. The store's
/// calls use connections of their own, as many at most.
pub(super) fn pool(options: &MySqlConnectOptions, most: Option<NonZeroU32>) -> MySqlPool {
    MySqlPoolOptions::new()
        .max_connections(most.map_or(MOST_CALLS, NonZeroU32::get))
        .acquire_timeout(POOL_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
        .connect_lazy_with(options.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_show_no_password() {
        for (url, shown) in [
            ("mysql://app:secret@db:3307/locks", "mysql://app@db:3307/locks"),
            ("mariadb://app:secret@db/locks", "mysql://app@db:3306/locks"),
            ("MYSQL://app:secret@db/locks", "mysql://app@db:3306/locks"),
        ] {
            assert_eq!(label(&from_url(url).unwrap()), shown, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_without_its_password() {
        for url in [
            "mysql:",
            "mysql://u:secret@h:port/d",
            "mysql://u:secret@h/d?ssl-mode=maybe",
            "mysql://u:secret@h1,h2/d",
            "mysql://u:1/secret@h/d",
            "mysql://u:secret@h",
        ] {
            let error = from_url(url).unwrap_err();
            assert!(error.is_invalid(), "{url}: {error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
