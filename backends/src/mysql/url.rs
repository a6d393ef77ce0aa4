//! The URL says where the database is.

use std::borrow::Cow;
use std::str::FromStr;

use sqlx::mysql::MySqlConnectOptions;

use crate::common::url::check_login;
use crate::common::url_options;
use crate::{Error, Result};

/// sqlx reads these options, as it spells them.
const OPTIONS: &[&str] = &[
    "ssl-mode",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "socket",
    "charset",
    "collation",
    "time-zone",
    "statement-cache-capacity",
    "sslmode",
    "sslca",
    "sslcert",
    "sslkey",
    "timezone",
];

const FORM: &str = "write mysql://USER:PASSWORD@HOST:PORT/DATABASE";

/// Reads a URL as sqlx does, and refuses options that sqlx would ignore. `mariadb://` is the same
/// as `mysql://`.
pub(super) fn from_url(url: &str) -> Result<MySqlConnectOptions> {
    check_login(url)?;
    let wrong = |message: &str| Error::invalid(message).with_fix(FORM);
    let no_url = "this is not a MySQL URL";
    let url = with_host(url);
    let parsed = ::url::Url::parse(&url).map_err(|source| wrong(no_url).with_source(source))?;
    let names: Vec<_> = parsed.query_pairs().map(|(name, _)| name.into_owned()).collect();
    url_options::check(names.iter().map(String::as_str), OPTIONS)?;
    let mut options =
        MySqlConnectOptions::from_str(&url).map_err(|source| wrong(no_url).with_source(source))?;
    if let Some(address) = options.get_host().strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let address = address.to_owned();
        options = options.host(&address);
    }
    if options.get_host().contains(',') {
        return Err(wrong("a URL with several hosts is not supported")
            .with_fix("name one host that leads to the primary, such as a proxy's"));
    }
    if options.get_database().is_none_or(str::is_empty) {
        return Err(wrong("the URL names no database"));
    }
    Ok(options)
}

/// Adds a host to a URL that names a socket instead: a URL cannot have a user without a host.
fn with_host(url: &str) -> Cow<'_, str> {
    let Some(start) = url.find("://").map(|at| at + 3) else { return url.into() };
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    let (before, behind) = url.split_at(end);
    let query = behind.split_once('?').map_or("", |(_, query)| query);
    let socket = query.split('&').any(|option| option.starts_with("socket="));
    if socket && (before.len() == start || before.ends_with('@')) {
        return format!("{before}localhost{behind}").into();
    }
    url.into()
}

/// Returns the store's name in messages.
pub(super) fn label(options: &MySqlConnectOptions) -> String {
    let (user, database) = (options.get_username(), options.get_database().unwrap_or_default());
    if let Some(socket) = options.get_socket() {
        return format!("mysql://{user}@/{database}?socket={}", socket.display());
    }
    let (host, port) = (options.get_host(), options.get_port());
    if host.contains(':') {
        format!("mysql://{user}@[{host}]:{port}/{database}")
    } else {
        format!("mysql://{user}@{host}:{port}/{database}")
    }
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
            ("mysql://app:secret@[::1]:3307/locks", "mysql://app@[::1]:3307/locks"),
            ("mysql://app:secret@/locks?socket=/run/a%20b.sock", SOCKET),
            ("mysql://app:secret@db/locks?socket=/run/a%20b.sock", SOCKET),
        ] {
            assert_eq!(label(&from_url(url).unwrap()), shown, "{url}");
        }
    }

    const SOCKET: &str = "mysql://app@/locks?socket=/run/a b.sock";

    #[test]
    fn an_ipv6_address_is_accepted_and_a_socket_replaces_the_host() {
        assert_eq!(from_url("mysql://u@[::1]/d").unwrap().get_host(), "::1");
        assert_eq!(from_url("mysql://u@[fe80::2]:1/d").unwrap().get_port(), 1);
        for url in ["mysql://u@/d?socket=/s", "mysql:///d?socket=/s", "mysql://u@h/d?socket=/s"] {
            let socket = from_url(url).unwrap().get_socket().map(ToOwned::to_owned);
            assert_eq!(socket.as_deref(), Some(std::path::Path::new("/s")), "{url}");
        }
    }

    #[test]
    fn an_unknown_option_is_refused() {
        for (option, fix) in [
            ("ssl-mod=REQUIRED", "did you mean \"ssl-mode\"?"),
            ("SSL-MODE=REQUIRED", "did you mean \"ssl-mode\"?"),
            ("ssl_mode=REQUIRED", "did you mean \"ssl-mode\"?"),
            ("sockets=/s", "did you mean \"socket\"?"),
            ("x=secret", "the known options are ssl-mode, "),
        ] {
            let url = format!("mysql://u@h/d?charset=utf8mb4&{option}");
            let error = from_url(&url).unwrap_err();
            assert!(error.is_invalid() && error.to_string().contains(fix), "{url}: {error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
        for option in OPTIONS {
            let value = match *option {
                "ssl-mode" | "sslmode" => "VERIFY_CA",
                "statement-cache-capacity" => "10",
                _ => "x",
            };
            from_url(&format!("mysql://u@h/d?{option}={value}")).unwrap();
        }
    }

    #[test]
    fn an_invalid_url_is_refused_without_its_password() {
        for url in [
            "mysql:",
            "mysql://u:secret@h:port/d",
            "mysql://u:secret@h/d?ssl-mode=maybe",
            "mysql://u:secret@h1,h2/d",
            "mysql://u:1/secret@h/d",
            "mysql://u:secret@h",
            "mysql://u:secret@/d",
        ] {
            let error = from_url(url).unwrap_err();
            assert!(error.is_invalid(), "{url}: {error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
