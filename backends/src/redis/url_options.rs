//! The options after the question mark of a URL.

use std::fs;

use ::redis::{ClientTlsConfig, TlsCertificates};
use url::form_urlencoded;

use crate::common::url_options;
use crate::{Error, Result};

/// The options of every URL.
const KNOWN: &[&str] =
    &["wait_replicas", "protocol", "ca", "cert", "key", "sentinel_username", "sentinel_password"];

/// The options of the URL of a Unix socket, whose path cannot contain the database.
const OF_SOCKETS: &[&str] = &["wait_replicas", "protocol", "db", "user", "pass"];

/// The values of the options, with the contents of the files that they name.
#[derive(Debug, Default)]
pub(super) struct UrlOptions {
    pub(super) wait_replicas: u32,
    /// The certificates to trust instead of the system's, and the client's own.
    pub(super) certificates: Option<TlsCertificates>,
    /// The version of the protocol, which the driver checks.
    pub(super) protocol: Option<String>,
    pub(super) sentinel_username: Option<String>,
    pub(super) sentinel_password: Option<String>,
    pub(super) db: Option<i64>,
    pub(super) user: Option<String>,
    pub(super) pass: Option<String>,
}

impl UrlOptions {
    /// Reads the options. No message shows more than an option's name, or the name of a file.
    pub(super) fn of(query: &str, of_socket: bool) -> Result<Self> {
        let known = if of_socket { OF_SOCKETS } else { KNOWN };
        let mut options = Self::default();
        let (mut ca, mut cert, mut key) = (None, None, None);
        // A plus does not mean a space, neither in passwords nor in the names of files.
        for (name, value) in form_urlencoded::parse(query.replace('+', "%2B").as_bytes()) {
            if !known.contains(&&*name) {
                return Err(url_options::unknown(&name, known));
            }
            match &*name {
                "wait_replicas" => {
                    options.wait_replicas = value.parse().map_err(|_| {
                        Error::invalid("the URL option \"wait_replicas\" is not a number").with_fix(
                            "write how many replicas a write must reach, such as wait_replicas=1",
                        )
                    })?;
                }
                "protocol" => options.protocol = Some(value.into_owned()),
                "ca" => ca = Some(value.into_owned()),
                "cert" => cert = Some(value.into_owned()),
                "key" => key = Some(value.into_owned()),
                "sentinel_username" => options.sentinel_username = Some(value.into_owned()),
                "sentinel_password" => options.sentinel_password = Some(value.into_owned()),
                "db" => {
                    options.db = Some(value.parse().map_err(|_| {
                        Error::invalid("the URL option \"db\" is not a number")
                            .with_fix("write the number of a database, such as db=1")
                    })?);
                }
                "user" => options.user = Some(value.into_owned()),
                "pass" => options.pass = Some(value.into_owned()),
                _ => return Err(url_options::unknown(&name, known)),
            }
        }
        if cert.is_some() != key.is_some() {
            return Err(Error::invalid("the URL has one of cert and key without the other")
                .with_fix("name both files, or neither"));
        }
        if options.sentinel_username.is_some() && options.sentinel_password.is_none() {
            return Err(Error::invalid("the URL has a sentinel_username without a password")
                .with_fix("add sentinel_password"));
        }
        if ca.is_some() || cert.is_some() {
            let root_cert = ca.as_deref().map(|file| read(file, "CERTIFICATE-----")).transpose()?;
            let client_tls = match cert.zip(key) {
                Some((cert, key)) => Some(ClientTlsConfig {
                    client_cert: read(&cert, "CERTIFICATE-----")?,
                    client_key: read(&key, "PRIVATE KEY-----")?,
                }),
                None => None,
            };
            options.certificates = Some(TlsCertificates { client_tls, root_cert });
        }
        Ok(options)
    }
}

/// Reads a PEM file, which must contain the given part. Without this check, a file without
/// certificates would be reported as a wrong authority.
fn read(file: &str, part: &str) -> Result<Vec<u8>> {
    let text = fs::read(file).map_err(|source| {
        Error::invalid(format!("the file {file:?} cannot be read"))
            .with_fix("check the file's name in the URL, and its permissions")
            .with_source(source)
    })?;
    if text.windows(part.len()).any(|window| window == part.as_bytes()) {
        return Ok(text);
    }
    let what = part.trim_end_matches('-').to_ascii_lowercase();
    Err(Error::invalid(format!("the file {file:?} has no {what} in PEM"))
        .with_fix("ca and cert name certificates, and key a private key"))
}
