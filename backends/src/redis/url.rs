//! Reads the topology from a URL.

use std::path::PathBuf;
use std::sync::Arc;

use ::redis::io::tcp::TcpSettings;
use ::redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, RedisError,
};
use url::form_urlencoded;

use super::connect;
use super::sentinel::Sentinels;
use super::topology::{ServerLocator, Topology};
use super::url_options::UrlOptions;
use crate::common::url::check_login;
use crate::{Error, Result};

/// The servers that a URL names, and its options for the store.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) topology: Topology,
    pub(super) label: String,
    pub(super) wait_replicas: u32,
}

/// The parts of a URL.
struct UrlParts<'a> {
    tls: bool,
    kind: &'a str,
    /// User and password with their `@`, or nothing.
    login: &'a str,
    hosts: Vec<&'a str>,
    path: &'a str,
    options: UrlOptions,
}

/// Reads the URL, and connects to nothing.
pub(super) fn parse(url: &str) -> Result<Config> {
    check_login(url)?;
    let parts = UrlParts::of(url)?;
    if parts.tls {
        connect::provide_cryptography();
    }
    let topology = match parts.kind {
        "" => parts.single()?,
        "unix" => parts.socket()?,
        "cluster" => parts.cluster()?,
        _ => parts.sentinel()?,
    };
    Ok(Config { topology, label: parts.label(), wait_replicas: parts.options.wait_replicas })
}

impl<'a> UrlParts<'a> {
    fn of(url: &'a str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").ok_or_else(unreadable)?;
        let scheme = scheme.to_ascii_lowercase();
        // Other programs write unix:// only.
        let scheme = if scheme == "unix" { "redis+unix" } else { &*scheme };
        let (product, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let tls = matches!(product, "rediss" | "valkeys");
        let kind = match kind {
            "" => "",
            "cluster" => "cluster",
            "sentinel" => "sentinel",
            "unix" if !tls => "unix",
            _ => return Err(unreadable()),
        };
        let (rest, fragment) =
            rest.split_once('#').map_or((rest, ""), |(rest, fragment)| (rest, fragment));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let split = authority.rfind('@').map_or(0, |at| at + 1);
        let (login, hosts) = authority.split_at(split);
        let hosts: Vec<_> = hosts.split(',').collect();
        if kind == "unix" {
            if hosts != [""] || path.is_empty() {
                return Err(unreadable());
            }
        } else if hosts.iter().any(|host| host.is_empty()) || (kind.is_empty() && hosts.len() > 1) {
            return Err(unreadable());
        }
        if !fragment.is_empty() {
            return Err(Error::invalid("the URL has a fragment (#…), which is not supported")
                .with_fix("to trust a certificate of your own, name its authority: ?ca=FILE"));
        }
        let options = UrlOptions::of(query, kind == "unix")?;
        if options.certificates.is_some() && !tls {
            return Err(Error::invalid("the URL names certificates, but does not ask for TLS")
                .with_fix("write rediss:// instead of redis://"));
        }
        if options.sentinel_password.is_some() && kind != "sentinel" {
            return Err(Error::invalid(
                "the URL has a password of sentinels, but names no sentinels",
            )
            .with_fix(FORM));
        }
        Ok(Self { tls, kind, login, hosts, path, options })
    }

    fn info(&self, login: &str, host: &str, database: &str) -> Result<ConnectionInfo> {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let mut url = format!("{scheme}://{login}{host}/{database}");
        if let Some(protocol) = &self.options.protocol {
            url.extend(["?protocol=", protocol]);
        }
        // The driver's message may repeat parts of the URL.
        let info = url.into_connection_info().map_err(|_| unreadable())?;
        has_password_with_user(info.redis_settings())?;
        // Calls share a connection. Otherwise the system would hold back the request of one until
        // the server has acknowledged that of another.
        Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
    }

    fn client(&self, info: ConnectionInfo) -> Result<Client> {
        let client = match &self.options.certificates {
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
            None => Client::open(info),
        };
        client.map_err(refused)
    }

    fn single(&self) -> Result<Topology> {
        let info = self.info(self.login, self.hosts[0], self.path)?;
        Ok(Topology::Server(ServerLocator::Direct(Box::new(self.client(info)?))))
    }

    /// Reads the URL of a Unix socket. As in other programs, user and password come before an `@`,
    /// or in options.
    fn socket(&self) -> Result<Topology> {
        let path = PathBuf::from(format!("/{}", decoded(self.path)));
        let info = ConnectionAddr::Unix(path).into_connection_info().map_err(|_| unreadable())?;
        let login = self.login.strip_suffix('@').unwrap_or_default();
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (user, password) = (decoded(user), decoded(password));
        let user = self.options.user.clone().unwrap_or(user);
        let password = self.options.pass.clone().unwrap_or(password);
        let mut settings = info.redis_settings().clone().set_db(self.options.db.unwrap_or(0));
        if !user.is_empty() {
            settings = settings.set_username(user);
        }
        if !password.is_empty() {
            settings = settings.set_password(password);
        }
        has_password_with_user(&settings)?;
        match self.options.protocol.as_deref() {
            None | Some("2" | "resp2") => {}
            Some("3" | "resp3") => settings = settings.set_protocol(ProtocolVersion::RESP3),
            Some(_) => return Err(unreadable()),
        }
        let client = self.client(info.set_redis_settings(settings))?;
        Ok(Topology::Server(ServerLocator::Direct(Box::new(client))))
    }

    fn cluster(&self) -> Result<Topology> {
        if !self.path.is_empty() {
            return Err(Error::invalid("the URL of a cluster names a database")
                .with_fix("leave it out: a cluster has none"));
        }
        let node = |host: &&str| self.client(self.info(self.login, host, "")?);
        Ok(Topology::Cluster(self.hosts.iter().map(node).collect::<Result<_>>()?))
    }

    fn sentinel(&self) -> Result<Topology> {
        let (service, database) = self.path.split_once('/').unwrap_or((self.path, ""));
        if service.is_empty() {
            return Err(Error::invalid("the URL names no sentinel service")
                .with_fix("write redis+sentinel://HOST:PORT,HOST:PORT/SERVICE"));
        }
        // User and password of the URL are the server's; the sentinels have their own, or none.
        let node = self.client(self.info(self.login, self.hosts[0], database)?)?;
        let sentinel = |host: &&str| {
            let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
            let port = if has_port { "" } else { ":26379" };
            let info = self.info("", &format!("{host}{port}"), "")?;
            let mut login = info.redis_settings().clone();
            if let Some(user) = &self.options.sentinel_username {
                login = login.set_username(user);
            }
            if let Some(password) = &self.options.sentinel_password {
                login = login.set_password(password);
            }
            self.client(info.set_redis_settings(login))
        };
        let clients = self.hosts.iter().map(sentinel).collect::<Result<_>>()?;
        let node = node.get_connection_info().clone();
        let sentinels = Sentinels::new(clients, service.to_owned(), node);
        Ok(Topology::Server(ServerLocator::Sentinels(Arc::new(sentinels))))
    }

    fn label(&self) -> String {
        let product = if self.tls { "rediss" } else { "redis" };
        let plus = if self.kind.is_empty() { "" } else { "+" };
        let (hosts, kind) = (self.hosts.join(","), self.kind);
        let slash = if self.path.is_empty() { "" } else { "/" };
        format!("{product}{plus}{kind}://{hosts}{slash}{}", self.path)
    }
}

const FORM: &str = "write redis://USER:PASSWORD@HOST:PORT/DB, redis+unix:///PATH, \
     redis+cluster://HOST:PORT,HOST:PORT or redis+sentinel://HOST:PORT,HOST:PORT/SERVICE, with \
     user and password percent-encoded";

fn decoded(text: &str) -> String {
    let literal = text.replace('+', "%2B").replace('&', "%26");
    let mut pairs = form_urlencoded::parse(literal.as_bytes());
    // Without an equals sign the whole text is a name; with one, the rest is a value.
    pairs.next().map_or_else(String::new, |(name, value)| {
        if literal.contains('=') { format!("{name}={value}") } else { name.into_owned() }
    })
}

/// Refuses a user without a password: the driver would log in as the default user.
fn has_password_with_user(settings: &RedisConnectionInfo) -> Result<()> {
    if settings.username().is_some() && settings.password().is_none() {
        return Err(Error::invalid("the URL has a user without a password").with_fix(
            "write USER:PASSWORD@; a user with nopass accepts any password, and a password alone \
             is written :PASSWORD@",
        ));
    }
    Ok(())
}

fn unreadable() -> Error {
    Error::invalid("this is not a URL of Redis or Valkey").with_fix(FORM)
}

fn refused(cause: RedisError) -> Error {
    Error::invalid("the driver does not accept the URL")
        .with_fix("check its parts")
        .with_source(std::io::Error::other(cause.category().to_owned()))
}

#[cfg(test)]
mod tests;
