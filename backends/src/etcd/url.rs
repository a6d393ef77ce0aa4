//! Reads a URL of etcd: the members, and how to connect to them.

use std::fs;
use std::time::Duration;

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};

use super::members::Members;
use crate::common::url::check_login;
use crate::common::url_options;
use crate::{Error, Result};

const FORM: &str = "write etcd://USER:PASSWORD@HOST:PORT,HOST:PORT/PREFIX?OPTIONS, where all but \
                    one HOST can be left out";

const PORT: &str = "2379";

const OPTIONS: &[&str] = &["tls", "ca", "cert", "key", "domain"];

/// Opening a connection may take this long.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// An idle connection is pinged this often; etcd refuses pings more often than every 5 s.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_LIMIT: Duration = Duration::from_secs(5);

/// The parts of a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EtcdUrl {
    /// The members, each with its port.
    endpoints: Vec<String>,
    user: Option<(String, Password)>,
    /// The path is empty, or starts with a slash and does not end with one.
    pub(super) path: String,
    tls: bool,
    /// The names of PEM files.
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    /// The name in the members' certificates, if it differs from the host.
    domain: Option<String>,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
struct Password(String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl EtcdUrl {
    /// Reads `etcd://` and `etcds://` URLs. No message repeats more than the name of an option.
    pub(super) fn from_url(url: &str) -> Result<Self> {
        check_login(url)?;
        let Some((scheme, rest)) = url.split_once("://") else { return Err(wrong("no host")) };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        let mut location = Self { tls: scheme.eq_ignore_ascii_case("etcds"), ..Self::default() };
        for host in hosts.split(',') {
            location.endpoints.push(endpoint(host)?);
        }
        if let Some(user) = user {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            if name.is_empty() {
                return Err(wrong("a password without a user"));
            }
            location.user = Some((decoded(name)?, Password(decoded(password)?)));
        }
        location.path = decoded(path.trim_end_matches('/'))?;
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = decoded(value)?;
            match name {
                "tls" if value == "true" => location.tls = true,
                "tls" if value == "false" && !location.tls => {}
                "ca" => location.ca = Some(value),
                "cert" => location.cert = Some(value),
                "key" => location.key = Some(value),
                "domain" => location.domain = Some(value),
                "tls" => return Err(wrong("an invalid value for tls (use true)")),
                _ => return Err(url_options::unknown(name, OPTIONS)),
            }
        }
        if location.cert.is_some() != location.key.is_some() {
            return Err(wrong("one of cert and key without the other"));
        }
        location.tls |=
            [&location.ca, &location.cert, &location.domain].iter().any(|option| option.is_some());
        Ok(location)
    }

    /// Returns the store's name in messages.
    pub(super) fn label(&self) -> String {
        let scheme = if self.tls { "etcds" } else { "etcd" };
        format!("{scheme}://{}{}", self.endpoints.join(","), self.path)
    }

    /// Returns the members; a connection to each is opened at its first request.
    pub(super) fn members(&self) -> Result<Members> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CONNECT_LIMIT)
            .with_keep_alive(PING_INTERVAL, PING_LIMIT)
            .with_keep_alive_while_idle(true)
            .with_tcp_keepalive(PING_INTERVAL)
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some((user, Password(password))) = &self.user {
            options = options.with_user(user, password);
        }
        if self.tls {
            options = options.with_tls(self.tls()?);
        }
        let scheme = if self.tls { "https" } else { "http" };
        let urls = self.endpoints.iter().map(|endpoint| format!("{scheme}://{endpoint}"));
        Ok(Members::new(urls.collect(), options))
    }

    fn tls(&self) -> Result<TlsOptions> {
        let mut tls = TlsOptions::new();
        tls = match &self.ca {
            Some(ca) => tls.ca_certificate(Certificate::from_pem(read(ca)?)),
            None => tls.with_enabled_roots(),
        };
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
        }
        if let Some(domain) = &self.domain {
            tls = tls.domain_name(domain);
        }
        Ok(tls)
    }
}

fn read(file: &str) -> Result<Vec<u8>> {
    fs::read(file).map_err(|source| {
        Error::invalid(format!("the file {file:?} cannot be read")).with_source(source)
    })
}

fn endpoint(host: &str) -> Result<String> {
    let after_host = host.rfind(']').map_or(0, |end| end + 1);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]%".contains(c);
    match host[after_host..].split_once(':') {
        _ if host.is_empty() || !host.chars().all(is_plain) => Err(wrong("an invalid host")),
        Some((name, port)) if after_host + name.len() == 0 || port.parse::<u16>().is_err() => {
            Err(wrong("an invalid host or port"))
        }
        Some(_) => Ok(host.to_owned()),
        None => Ok(format!("{host}:{PORT}")),
    }
}

/// Decodes percent-encoded text.
fn decoded(text: &str) -> Result<String> {
    let bad = || wrong("an invalid percent encoding").with_fix("write a % as %25");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let code = others.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok()).ok_or_else(bad)?;
        bytes.push(byte);
        rest = &others[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong("text that is not UTF-8"))
}

fn wrong(what: &str) -> Error {
    Error::invalid(format!("the URL of etcd has {what}")).with_fix(FORM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_members_user_prefix_and_options() {
        let read = |url| EtcdUrl::from_url(url).unwrap();
        let plain = read("etcd://10.0.0.1,[::1]:2380,h:1");
        assert_eq!(plain.endpoints, ["10.0.0.1:2379", "[::1]:2380", "h:1"]);
        assert_eq!((plain.tls, plain.path.as_str(), &plain.user), (false, "", &None));
        assert_eq!(plain.label(), "etcd://10.0.0.1:2379,[::1]:2380,h:1");
        let full = read("etcd://u:p%40%2f@h/apps/?ca=/a%20b");
        assert_eq!(full.user, Some(("u".into(), Password("p@/".into()))));
        assert_eq!(
            (full.path.as_str(), full.ca.as_deref(), full.tls),
            ("/apps", Some("/a b"), true)
        );
        assert!(read("ETCDS://h").tls);
        assert!(!format!("{full:?}{}", full.label()).contains("p@/"));
    }

    #[test]
    fn an_unknown_option_is_refused_with_the_nearest_name() {
        for (option, nearest) in [("tsl", "tls"), ("domian", "domain"), ("certs", "cert")] {
            let error = EtcdUrl::from_url(&format!("etcd://h?{option}=secret")).unwrap_err();
            let message = error.to_string();
            assert!(error.is_invalid() && message.contains(&format!("{option:?}")), "{message}");
            assert!(message.contains(&format!("did you mean {nearest:?}")), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
        let error = EtcdUrl::from_url("etcd://h?colour=red").unwrap_err();
        assert!(error.to_string().contains("tls, ca, cert, key, domain"), "{error}");
    }

    #[test]
    fn an_invalid_url_is_refused_without_being_shown() {
        for url in [
            "etcd:h",
            "etcd://",
            "etcd://u:secret@",
            "etcd://:secret@h",
            "etcd://u:secret@h:port",
            "etcd://u:secret@h?x=y",
            "etcd://u:secret%4@h",
            "etcd://u:secret@h?cert=a",
            "etcd://u:secret@h,,h",
            "etcd://u:secret@h?tls=1",
            "etcd://u:sec/ret@h",
            "etcd://u:1/secret@h",
            "etcd://u:1?secret@h",
        ] {
            let error = EtcdUrl::from_url(url).unwrap_err();
            assert!(error.is_invalid(), "{url}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
