//! From a URL to the place that it names.

use ::redis::cluster::ClusterClient;
use ::redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use ::redis::{Client, ConnectionInfo, IntoConnectionInfo, RedisError, TlsMode};
use tokio::sync::Mutex;

use super::place::Place;
use crate::{Error, Result};

/// What a URL says.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) place: Place,
    pub(super) label: String,
    pub(super) wait_replicas: u32,
}

/// The forms of URLs, apart.
struct Parts<'a> {
    tls: bool,
    kind: &'a str,
    /// User and password with their `@`, or nothing.
    login: &'a str,
    hosts: Vec<&'a str>,
    path: &'a str,
    query: String,
    wait_replicas: u32,
}

/// The driver takes the process's provider, and panics where rustls cannot choose one. An
/// application that has set its own keeps it.
pub(super) fn provide_cryptography() {
    _ = rustls::crypto::ring::default_provider().install_default();
}

pub(super) fn parse(url: &str) -> Result<Config> {
    let parts = Parts::of(url)?;
    if parts.tls {
        provide_cryptography();
    }
    let place = match parts.kind {
        "" => parts.single()?,
        "cluster" => parts.cluster()?,
        _ => parts.sentinel()?,
    };
    Ok(Config { place, label: parts.label(), wait_replicas: parts.wait_replicas })
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").ok_or_else(unreadable)?;
        let scheme = scheme.to_ascii_lowercase();
        let (product, kind) = scheme.split_once('+').unwrap_or((&scheme, ""));
        let tls = matches!(product, "rediss" | "valkeys");
        let kind = match kind {
            "" => "",
            "cluster" => "cluster",
            "sentinel" => "sentinel",
            _ => return Err(unreadable()),
        };
        let (rest, fragment) =
            rest.split_once('#').map_or((rest, ""), |(rest, fragment)| (rest, fragment));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let split = authority.rfind('@').map_or(0, |at| at + 1);
        let (login, hosts) = authority.split_at(split);
        let hosts: Vec<_> = hosts.split(',').collect();
        if hosts.iter().any(|host| host.is_empty()) || (kind.is_empty() && hosts.len() > 1) {
            return Err(unreadable());
        }
        if !matches!(fragment, "" | "insecure") {
            return Err(unreadable());
        }
        let mut wait_replicas = 0;
        let mut others = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("wait_replicas", number)) => {
                    wait_replicas = number.parse().map_err(|_| {
                        Error::invalid("wait_replicas in the URL is no number")
                            .with_fix("write how many replicas a grant is to reach")
                    })?;
                }
                _ => others.push(option),
            }
        }
        let mut query = others.join("&");
        if !query.is_empty() {
            query.insert(0, '?');
        }
        if !fragment.is_empty() {
            query.push_str("#insecure");
        }
        Ok(Self { tls, kind, login, hosts, path, query, wait_replicas })
    }

    fn info(&self, login: &str, host: &str, database: &str) -> Result<ConnectionInfo> {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let url = format!("{scheme}://{login}{host}/{database}{}", self.query);
        // The driver's message may repeat parts of the URL.
        url.into_connection_info().map_err(|_| unreadable())
    }

    fn single(&self) -> Result<Place> {
        let info = self.info(self.login, self.hosts[0], self.path)?;
        Ok(Place::Single(Box::new(Client::open(info).map_err(refused)?)))
    }

    fn cluster(&self) -> Result<Place> {
        if !self.path.is_empty() {
            return Err(Error::invalid("the URL of a cluster names a database")
                .with_fix("leave it out: a cluster has none"));
        }
        let infos: Result<Vec<_>> =
            self.hosts.iter().map(|host| self.info(self.login, host, "")).collect();
        let infos = infos?;
        let nodes = infos.iter().cloned().map(Client::open).collect::<Result<Vec<_>, _>>();
        let nodes = nodes.map_err(refused)?;
        // The driver would repeat what may have been done.
        let client = ClusterClient::builder(infos)
            .retries(0)
            .connection_timeout(super::place::PATIENCE)
            .response_timeout(crate::common::limit::CALL_LIMIT)
            .build();
        Ok(Place::Cluster(Box::new(client.map_err(refused)?), nodes))
    }

    fn sentinel(&self) -> Result<Place> {
        let (service, database) = self.path.split_once('/').unwrap_or((self.path, ""));
        if service.is_empty() {
            return Err(Error::invalid("the URL names no service of the sentinels")
                .with_fix("write redis+sentinel://HOST:PORT,HOST:PORT/SERVICE"));
        }
        // User and password are the server's; the sentinels are asked without.
        let node = self.info(self.login, self.hosts[0], database)?;
        let sentinels: Result<Vec<_>> = self
            .hosts
            .iter()
            .map(|host| {
                let port = if host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
                    ""
                } else {
                    ":26379"
                };
                self.info("", &format!("{host}{port}"), "")
            })
            .collect();
        let mut to_node = SentinelNodeConnectionInfo::default()
            .set_redis_connection_info(node.redis_settings().clone());
        if self.tls {
            let insecure = self.query.ends_with("#insecure");
            to_node =
                to_node.set_tls_mode(if insecure { TlsMode::Insecure } else { TlsMode::Secure });
        }
        let client =
            SentinelClient::build(sentinels?, service, Some(to_node), SentinelServerType::Master);
        Ok(Place::Sentinel(Box::new(Mutex::new(client.map_err(refused)?))))
    }

    fn label(&self) -> String {
        let product = if self.tls { "rediss" } else { "redis" };
        let plus = if self.kind.is_empty() { "" } else { "+" };
        let (hosts, kind) = (self.hosts.join(","), self.kind);
        let slash = if self.path.is_empty() { "" } else { "/" };
        format!("{product}{plus}{kind}://{hosts}{slash}{}", self.path)
    }
}

fn unreadable() -> Error {
    Error::invalid("the URL is not one of Redis's").with_fix(
        "write redis://USER:PASSWORD@HOST:PORT/DB, redis+cluster://HOST:PORT,HOST:PORT or \
         redis+sentinel://HOST:PORT,HOST:PORT/SERVICE, with user and password percent-encoded",
    )
}

fn refused(cause: RedisError) -> Error {
    Error::invalid("the driver does not accept the URL")
        .with_fix("check its parts")
        .with_source(std::io::Error::other(cause.category().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn a_bad_url_is_refused_without_its_password() {
        for url in [
            "redis://",
            "redis:host",
            "redis://user:secret@",
            "redis://user:secret@host:port",
            "redis://user:se/cret@host",
            "redis://user:secret@one,two",
            "redis://user:secret@host/database",
            "redis://user:secret@host?wait_replicas=many",
            "redis+cluster://user:secret@one,two/1",
            "redis+sentinel://user:secret@one,two",
            "redis+sentinel://user:secret@one,,two/main",
        ] {
            let Err(error) = parse(url) else { panic!("{url} is accepted") };
            assert!(error.is_invalid(), "{url}: {error}");
            let mut said = error.to_string();
            if let Some(source) = error.source() {
                said += &source.to_string();
            }
            assert!(!said.contains("cret"), "{said}");
        }
    }

    #[test]
    fn the_label_has_no_password() {
        for (url, label) in [
            ("redis://user:secret@host", "redis://host"),
            ("valkeys://:secret@host:1/2?protocol=resp3", "rediss://host:1/2"),
            ("redis+cluster://u:secret@a:1,b:2", "redis+cluster://a:1,b:2"),
            ("rediss+sentinel://u:secret@a,b:2/main/3", "rediss+sentinel://a,b:2/main/3"),
        ] {
            assert_eq!(parse(url).unwrap().label, label);
        }
        assert_eq!(parse("redis://h?wait_replicas=2").unwrap().wait_replicas, 2);
    }
}
