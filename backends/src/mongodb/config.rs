//! From a URL to the client that a store opens for itself.

use std::time::Duration;

use mongodb::options::{ClientOptions, ConnectionString};
use mongodb::{Client, Database};

use super::error;
use super::shared::AT_ONCE;
use crate::url::check_login;
use crate::{Error, Result};

/// How long a call waits for a server that takes writes, or for a connection, unless the URL says
/// otherwise. Less than a call may take, so that what was not sent is known not to be.
const PATIENCE: Duration = Duration::from_secs(5);

/// The client for that URL, which connects when it is used, and the store's name in messages.
pub(super) async fn client(url: &str) -> Result<(Database, String)> {
    let (options, database) = read(url).await?;
    let label = label(&options, &database);
    let client = Client::with_options(options).map_err(error::reading)?;
    Ok((client.database(&database), label))
}

/// What the URL says, completed, and the database that it names.
async fn read(url: &str) -> Result<(ClientOptions, String)> {
    check_login(url)?;
    let url = &as_driver_reads(url)?;
    ConnectionString::parse(url).map_err(|cause| bad_url(url, cause))?;
    let mut options = ClientOptions::parse(url).await.map_err(|cause| {
        let error = error::reading(cause);
        if error.is_invalid() { unreadable() } else { error }
    })?;
    options.server_selection_timeout.get_or_insert(PATIENCE);
    options.connect_timeout.get_or_insert(PATIENCE);
    // So many at once never queue for a connection, watches included: see `AT_ONCE`.
    options.max_connecting.get_or_insert(AT_ONCE);
    options.max_pool_size.get_or_insert(AT_ONCE * 2);
    options.app_name.get_or_insert_with(|| "leasehold".to_owned());
    match options.default_database.clone() {
        Some(database) => Ok((options, database)),
        None => Err(Error::invalid("the URL names no database").with_fix(
            "write mongodb://HOST/DATABASE; a user of another database needs ?authSource=THAT",
        )),
    }
}

/// The driver takes a scheme in lower case alone, and panics at a `%` close before a character that
/// is not ASCII.
fn as_driver_reads(url: &str) -> Result<String> {
    if url.split('%').skip(1).any(|code| !code.is_char_boundary(code.len().min(2))) {
        return Err(unreadable());
    }
    let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
    Ok(format!("{}:{rest}", scheme.to_ascii_lowercase()))
}

/// The store's name in messages.
fn label(options: &ClientOptions, database: &str) -> String {
    let hosts: Vec<_> = options.hosts.iter().map(ToString::to_string).collect();
    format!("mongodb://{}/{database}", hosts.join(","))
}

/// The name of that URL's store; of one whose servers DNS would have to name, nothing.
#[cfg(fuzzing)]
pub(super) fn label_of(url: &str) -> Result<String> {
    use futures_util::FutureExt as _;

    check_login(url)?;
    let url = &as_driver_reads(url)?;
    if url.starts_with("mongodb+srv:") {
        let checked = ConnectionString::parse(url).map_err(|cause| bad_url(url, cause));
        return checked.map(|_| String::new());
    }
    let read = read(url).now_or_never().ok_or_else(unreadable)?;
    read.map(|(options, database)| label(&options, &database))
}

fn unreadable() -> Error {
    Error::invalid("the URL is not one of MongoDB's").with_fix(
        "write mongodb://USER:PASSWORD@HOST/DATABASE, with user and password percent-encoded",
    )
}

/// The driver's message repeats parts of the URL, which must not be those of a password.
fn bad_url(url: &str, cause: mongodb::error::Error) -> Error {
    let Some((before, rest)) = url.rsplit_once('@') else {
        return unreadable().with_source(cause);
    };
    let scheme = before.split_once("://").map_or("mongodb", |(scheme, _)| scheme);
    match ConnectionString::parse(format!("{scheme}://{rest}")) {
        // Without user and password it would be right.
        Ok(_) => unreadable(),
        Err(cause) => unreadable().with_source(cause),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[tokio::test]
    async fn a_bad_url_is_refused_without_its_password() {
        for url in [
            "mongodb://",
            "mongodb://host",
            "mongodb://host/",
            "mongodb://user:se/cret@host/db",
            "mongodb://user:se@cret@host/db",
            "mongodb://user:se%4écret@host/db",
            "mongodb://user:se:cret@host/db",
            "mongodb://user:secret@host:port/db",
            "mongodb://user:secret@host/db?tls=perhaps",
            "mongodb://user:secret@host/db?w=-1",
            "mongodb://host/d$b",
        ] {
            let Err(error) = client(url).await else { panic!("{url} is accepted") };
            assert!(error.is_invalid(), "{url}: {error}");
            let mut said = error.to_string();
            if let Some(source) = error.source() {
                said += &source.to_string();
            }
            assert!(!said.contains("cret"), "{said}");
        }
    }

    #[tokio::test]
    async fn the_label_has_hosts_and_database() {
        let (database, label) =
            client("MongoDB://user:secret@one,two:1234/app?authSource=admin").await.unwrap();
        assert_eq!(label, "mongodb://one:27017,two:1234/app");
        assert_eq!(database.name(), "app");
    }
}
