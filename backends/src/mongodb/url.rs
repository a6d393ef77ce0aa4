//! Reads a URL into the options of the client that a store opens.

use std::num::NonZeroU32;
use std::time::Duration;

use mongodb::options::{ClientOptions, ConnectionString, ServerMonitoringMode};

use super::error_codes;
use super::permits::Sizes;
use crate::common::url::check_login;
use crate::common::url_options;
use crate::{Error, Result};

/// A call waits this long for a server that accepts writes, or for a connection, unless the URL
/// sets another limit. This is less than a call may take, so that a request without a connection
/// was certainly not sent.
const SERVER_SELECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// The options that the driver reads from a URL with the features that are enabled here.
const OPTIONS: &[&str] = &[
    "appName",
    "authMechanism",
    "authMechanismProperties",
    "authSource",
    "connectTimeoutMS",
    "directConnection",
    "enableOverloadRetargeting",
    "heartbeatFrequencyMS",
    "journal",
    "loadBalanced",
    "localThresholdMS",
    "maxAdaptiveRetries",
    "maxConnecting",
    "maxIdleTimeMS",
    "maxPoolSize",
    "maxStalenessSeconds",
    "minPoolSize",
    "readConcernLevel",
    "readPreference",
    "readPreferenceTags",
    "replicaSet",
    "retryReads",
    "retryWrites",
    "serverMonitoringMode",
    "serverSelectionTimeoutMS",
    "socketTimeoutMS",
    "srvMaxHosts",
    "srvServiceName",
    "tls",
    "ssl",
    "tlsAllowInvalidCertificates",
    "tlsCAFile",
    "tlsCertificateKeyFile",
    "tlsInsecure",
    "uuidRepresentation",
    "w",
    "waitQueueTimeoutMS",
    "wtimeoutMS",
];

/// An idle connection is kept this long, unless the URL sets another limit.
const MAX_IDLE_TIME: Duration = Duration::from_secs(20);

/// The options with which the clients of one store are created.
pub(super) struct OpenedUrl {
    pub(super) options: ClientOptions,
    pub(super) database: String,
    /// The store's name in messages.
    pub(super) label: String,
    pub(super) sizes: Sizes,
}

/// Reads a URL.
pub(super) async fn open(url: &str, max_connections: Option<NonZeroU32>) -> Result<OpenedUrl> {
    let (mut options, database) = read(url).await?;
    let label = label(&options, &database);
    let sizes = match (max_connections, options.max_pool_size) {
        (Some(calls), _) => Sizes::of_calls(calls),
        (None, Some(connections)) => Sizes::of_pool(connections)?,
        (None, None) => Sizes::DEFAULT,
    };
    options.max_pool_size = Some(sizes.connections);
    // As many connections as may be needed are opened at once, so that none waits for another.
    options.max_connecting.get_or_insert(sizes.holders.saturating_add(sizes.others));
    options.max_idle_time.get_or_insert(MAX_IDLE_TIME);
    // Monitoring by polling needs one connection to each server instead of two. A call that fails
    // because the primary changed makes the driver look for the new one at once.
    options.server_monitoring_mode.get_or_insert(ServerMonitoringMode::Poll);
    Ok(OpenedUrl { options, database, label, sizes })
}

/// Returns the options of the URL, with defaults for the others, and the database that it names.
async fn read(url: &str) -> Result<(ClientOptions, String)> {
    check_login(url)?;
    let url = &as_driver_reads(url)?;
    #[cfg(not(feature = "mongodb-srv"))]
    if url.starts_with("mongodb+srv:") {
        return Err(Error::new(
            crate::ErrorKind::Unsupported,
            "URLs with mongodb+srv are not in this build",
        )
        .with_fix(
            "enable the feature mongodb-srv, or name the servers: mongodb://HOST,HOST/DATABASE",
        ));
    }
    check_options(url)?;
    ConnectionString::parse(url).map_err(|cause| bad_url(url, cause))?;
    let mut options = ClientOptions::parse(url).await.map_err(|cause| {
        let error = error_codes::reading(cause);
        if error.is_invalid() { unreadable() } else { error }
    })?;
    options.server_selection_timeout.get_or_insert(SERVER_SELECTION_TIMEOUT);
    options.connect_timeout.get_or_insert(SERVER_SELECTION_TIMEOUT);
    options.app_name.get_or_insert_with(|| "leasehold".to_owned());
    match options.default_database.clone() {
        Some(database) => Ok((options, database)),
        None => Err(Error::invalid("the URL names no database").with_fix(
            "write mongodb://HOST/DATABASE; a user of another database needs ?authSource=OTHER",
        )),
    }
}

/// Refuses an option that the driver does not read, with the same message as other stores.
fn check_options(url: &str) -> Result<()> {
    let (_, query) = url.split_once('?').unwrap_or_default();
    let names = query.split('&').map(|option| option.split('=').next().unwrap_or_default());
    let is_known = |name: &str| OPTIONS.iter().any(|known| known.eq_ignore_ascii_case(name));
    match names.filter(|name| !name.is_empty()).find(|name| !is_known(name)) {
        Some(name) => Err(url_options::unknown(name, OPTIONS)),
        None => Ok(()),
    }
}

/// Returns the URL in a form that the driver accepts: it requires a scheme in lower case, and
/// panics at a `%` that is followed too closely by a character that is not ASCII.
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

/// Returns the label of the URL's store, or an empty text if only DNS can name its servers.
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
    Error::invalid("not a MongoDB URL").with_fix(
        "write mongodb://USER:PASSWORD@HOST/DATABASE, with user and password percent-encoded",
    )
}

/// Returns the error for a bad URL. The driver's message repeats parts of the URL, so it is dropped
/// if these may be parts of a password.
fn bad_url(url: &str, cause: mongodb::error::Error) -> Error {
    let Some((before, rest)) = url.rsplit_once('@') else {
        return unreadable().with_source(cause);
    };
    let scheme = before.split_once("://").map_or("mongodb", |(scheme, _)| scheme);
    match ConnectionString::parse(format!("{scheme}://{rest}")) {
        // Without user and password, the URL is valid.
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
            let Err(error) = open(url, None).await else { panic!("{url} is accepted") };
            assert!(error.is_invalid(), "{url}: {error}");
            let mut message = error.to_string();
            if let Some(source) = error.source() {
                message += &source.to_string();
            }
            assert!(!message.contains("cret"), "{message}");
        }
    }

    #[tokio::test]
    async fn the_label_has_hosts_and_database() {
        let url = "MongoDB://user:secret@one,two:1234/app?authSource=admin";
        let opened = open(url, None).await.unwrap();
        assert_eq!(opened.label, "mongodb://one:27017,two:1234/app");
        assert_eq!(opened.database, "app");
    }

    #[tokio::test]
    async fn an_unknown_option_is_refused_with_the_nearest_name() {
        for (option, nearest) in [
            ("tlsCAfle", "tlsCAFile"),
            ("tsl", "tls"),
            ("replicaset_", "replicaSet"),
            ("tlsAllowInvalidCertificate", "tlsAllowInvalidCertificates"),
        ] {
            let url = format!("mongodb://user:pw@host/app?{option}=secret");
            let Err(error) = open(&url, None).await else { panic!("{url} is accepted") };
            let message = error.to_string();
            assert!(error.is_invalid() && message.contains(&format!("{option:?}")), "{message}");
            assert!(message.contains(&format!("did you mean {nearest:?}")), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[tokio::test]
    async fn known_options_are_accepted_by_the_driver() {
        for option in OPTIONS {
            // The value may be wrong, but the driver knows the name.
            let url = format!("mongodb://host/app?{option}=1");
            if let Err(cause) = ConnectionString::parse(&url) {
                assert!(!cause.to_string().contains("is an invalid option"), "{option}: {cause}");
            }
            check_options(&format!("mongodb://h/a?{}=1", option.to_uppercase())).unwrap();
        }
    }

    #[tokio::test]
    async fn max_connections_is_respected() {
        let sizes = async |url, calls| open(url, NonZeroU32::new(calls)).await.unwrap().sizes;
        assert_eq!(sizes("mongodb://h/a", 0).await, Sizes::DEFAULT);
        assert_eq!(sizes("mongodb://h/a", 1).await.connections, 3);
        assert_eq!(sizes("mongodb://h/a?maxPoolSize=5", 0).await.connections, 5);
        assert_eq!(sizes("mongodb://h/a?maxPoolSize=5", 1).await.connections, 3);
        for few in [1, 2] {
            let url = format!("mongodb://h/a?maxPoolSize={few}");
            let Err(error) = open(&url, None).await else { panic!("{few} connections are enough") };
            assert!(error.is_invalid() && error.to_string().contains("maxPoolSize"), "{error}");
        }
    }
}
