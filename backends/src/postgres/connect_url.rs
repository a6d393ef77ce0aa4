//! Reads a PostgreSQL URL as libpq does, as far as the driver can connect to it.

use std::net::Ipv6Addr;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use url::Url;

use crate::common::url::check_login;
use crate::common::url_options;
use crate::{Error, Result};

/// The driver reads these options and ignores all others.
const OPTIONS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "statement-cache-capacity",
];

/// libpq chooses among several hosts by these options.
const CHOICES: &[&str] = &["target_session_attrs", "load_balance_hosts"];

pub(super) fn parse(url: &str) -> Result<PgConnectOptions> {
    check_login(url)?;
    let parts = Parts::of(url);
    if parts.as_ref().is_some_and(|parts| parts.hosts.contains(',')) {
        return Err(several_hosts());
    }
    let to_driver_url = match parts {
        Some(parts) => parts.to_driver_url()?,
        None => None,
    };
    let url = to_driver_url.as_deref().unwrap_or(url);
    let refused = |source| wrong("this is not a PostgreSQL URL").with_source(source);
    let read = Url::parse(url).map_err(|source| refused(sqlx::Error::config(source)))?;
    for (name, value) in read.query_pairs() {
        check_option(&name, &value)?;
    }
    let options = PgConnectOptions::from_str(url).map_err(refused)?;
    // PGHOST may also name several hosts.
    if options.get_host().contains(',') { Err(several_hosts()) } else { Ok(options) }
}

fn wrong(message: &str) -> Error {
    Error::invalid(message).with_fix("write postgres://USER:PASSWORD@HOST:PORT/DATABASE")
}

fn several_hosts() -> Error {
    Error::invalid("a URL with several hosts, or a choice among them, is not supported").with_fix(
        "use one address that follows the primary, such as HAProxy's, a virtual address or your \
         cluster manager's; a server that accepts no writes is refused when a store opens, as \
         target_session_attrs=read-write would",
    )
}

fn check_option(name: &str, value: &str) -> Result<()> {
    if CHOICES.contains(&name)
        || matches!(name, "host" | "hostaddr" | "port") && value.contains(',')
    {
        return Err(several_hosts());
    }
    // Without its cache, the driver prepares a statement for each call and never removes any.
    if name == "statement-cache-capacity" && value.parse() == Ok(0) {
        return Err(Error::invalid("statement-cache-capacity=0 is not supported")
            .with_fix("leave it out, or set at least 10"));
    }
    let of_session = name.starts_with("options[") && name.ends_with(']');
    if of_session { Ok(()) } else { url_options::check([name], OPTIONS) }
}

/// These are the parts of a URL: what is between `//` and the path, the path, and what follows it.
struct Parts<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    /// This is one host with its port, as a rule.
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        Some(Self { scheme, user, hosts, path, query })
    }

    /// Returns an equivalent URL without an authority if the driver cannot read this one: one with
    /// a user but no host (`postgres://user@/db?host=/run/postgresql`), or one with an IPv6
    /// address, whose brackets the driver would treat as part of a name.
    fn to_driver_url(&self) -> Result<Option<String>> {
        let address = self.hosts.strip_prefix('[');
        let (host, port) = match address {
            Some(address) => {
                let (host, port) = address
                    .split_once(']')
                    .ok_or_else(|| wrong("the bracket of an IPv6 address is not closed"))?;
                if host.parse::<Ipv6Addr>().is_err() {
                    return Err(wrong("there is no IPv6 address in the brackets"));
                }
                (Some(host), port)
            }
            None if self.user.is_some() && self.hosts.split(':').next() == Some("") => {
                (None, self.hosts)
            }
            None => return Ok(None),
        };
        let (user, password) =
            match self.user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
                Some((user, password)) => (user, password),
                None => ("", ""),
            };
        // Options after the question mark come later, so they take precedence.
        let mut query = String::new();
        let port = port.strip_prefix(':').unwrap_or(port);
        for (name, value) in
            [("user", user), ("password", password), ("host", host.unwrap_or("")), ("port", port)]
        {
            if !value.is_empty() {
                // The value is encoded for its position in the URL; in a query these characters
                // have another meaning.
                let value = value.replace('+', "%2B").replace('&', "%26");
                query.push_str(&format!("{name}={value}&"));
            }
        }
        Ok(Some(format!("{}://{}?{query}{}", self.scheme, or_root(self.path), self.query)))
    }
}

fn or_root(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        let error = parse(url).map(drop).unwrap_err();
        assert!(error.is_invalid(), "{url}: {error}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        error.to_string()
    }

    #[test]
    fn an_ipv6_address_is_passed_to_the_driver_without_brackets() {
        let options = parse("postgres://app:secret@[::1]:5433/locks?sslmode=disable").unwrap();
        assert_eq!((options.get_host(), options.get_port()), ("::1", 5433));
        assert_eq!((options.get_username(), options.get_database()), ("app", Some("locks")));
        for url in ["postgres://[::1/d", "postgres://[secret]/d", "postgres://u@[::1]:port/d"] {
            refusal(url);
        }
    }

    #[test]
    fn a_user_without_a_host_leads_to_the_socket_that_the_option_names() {
        let options = parse("postgres://a%20b:s%26e+c@/db?host=/run/postgresql").unwrap();
        let socket = options.get_socket().and_then(|path| path.to_str());
        assert_eq!(socket, Some("/run/postgresql"));
        assert_eq!((options.get_username(), options.get_database()), ("a b", Some("db")));
        // The options do not expose the password, but the URL that is made from them contains it.
        let url = sqlx::ConnectOptions::to_url_lossy(&options);
        assert_eq!(url.password(), Some("s%26e%2Bc"));
        let options = parse("postgresql://app@:5433/db?host=db.example").unwrap();
        assert_eq!((options.get_host(), options.get_port()), ("db.example", 5433));
        // Options after the question mark take precedence.
        let options = parse("postgres://app@/db?user=other&host=/run/postgresql").unwrap();
        assert_eq!(options.get_username(), "other");
    }

    #[test]
    fn several_hosts_are_refused_with_a_fix() {
        for url in [
            "postgres://u:secret@h1,h2/d",
            "postgres://u:secret@h1:5432,h2:5433/d?target_session_attrs=read-write",
            "postgres://u:secret@h1/d?target_session_attrs=read-write",
            "postgres:///d?host=h1,h2&password=secret",
            "postgres:///d?host=h1%2Ch2",
        ] {
            let said = refusal(url);
            assert!(said.contains("follows the primary") && said.contains("HAProxy"), "{said}");
        }
    }

    #[test]
    fn unknown_options_are_refused_with_the_nearest_name() {
        assert!(refusal("postgres://h/d?ssl_mode=require").contains("did you mean \"ssl"));
        assert!(refusal("postgres://h/d?sslmod=require&password=secret").contains("\"sslmode\""));
        assert!(refusal("postgres://h/d?sslrootcrt=/ca.pem").contains("\"sslrootcert\""));
        assert!(refusal("postgres://h/d?colour=secret").contains("the known options are"));
        assert!(refusal("postgres://h/d?options[x=y").contains("unknown URL option"));
        assert!(refusal("postgres://h/d?statement-cache-capacity=0").contains("at least 10"));
        for known in OPTIONS {
            let value = match *known {
                "sslmode" | "ssl-mode" => "require",
                "hostaddr" => "127.0.0.1",
                _ => "1",
            };
            parse(&format!("postgres://h/d?{known}={value}")).unwrap();
        }
        parse("postgres://h/d?options[search_path]=locks").unwrap();
    }
}
