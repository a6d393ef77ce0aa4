//! The URL says where the database is.

use sqlx::postgres::PgConnectOptions;

use super::connect_url;
use crate::Result;

/// Returns the settings of connections to that URL.
pub(super) fn from_url(url: &str) -> Result<PgConnectOptions> {
    let options = connect_url::parse(url)?;
    // PgBouncer refuses to start a session with settings that it does not know.
    let options = options.extra_float_digits(None);
    Ok(match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("leasehold"),
    })
}

/// Returns the store's name in messages.
pub(super) fn label(options: &PgConnectOptions) -> String {
    let (user, database) = (options.get_username(), options.get_database());
    let database = database.unwrap_or(user);
    match options.get_socket() {
        Some(socket) => format!("postgres://{user}@/{database}?host={}", socket.display()),
        None => {
            let (host, port) = (options.get_host(), options.get_port());
            let brackets = host.contains(':') && !host.starts_with('[');
            let host = if brackets { format!("[{host}]") } else { host.to_owned() };
            format!("postgres://{user}@{host}:{port}/{database}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_show_no_password() {
        for (url, shown) in [
            ("postgres://app:secret@db:5433/locks", "postgres://app@db:5433/locks"),
            ("postgresql://app:secret@db", "postgres://app@db:5432/app"),
            ("POSTGRES://app@[::1]/x?password=secret", "postgres://app@[::1]:5432/x"),
            ("postgres://app:secret@%2Frun%2Fpg/x", "postgres://app@/x?host=/run/pg"),
        ] {
            assert_eq!(label(&from_url(url).unwrap()), shown, "{url}");
        }
    }

    #[test]
    fn an_invalid_url_is_refused_without_its_password() {
        for url in [
            "postgres:",
            "postgres://u:secret@h:port/d",
            "postgres://u:secret@h/d?sslmode=maybe",
            "postgres://u:secret@h1,h2/d",
            "postgres://u:/secret@h/d",
        ] {
            let Err(error) = from_url(url) else { continue };
            assert!(error.is_invalid(), "{url}: {error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
        assert!(from_url("postgres://u:secret@h1,h2/d").is_err());
        assert!(from_url("postgres://u:secret@h/d?sslmode=maybe").is_err());
    }

    #[test]
    fn application_name_is_set_unless_the_url_has_one() {
        let name = |url| from_url(url).unwrap().get_application_name().map(str::to_owned);
        if std::env::var_os("PGAPPNAME").is_none() {
            assert_eq!(name("postgres://h/d").as_deref(), Some("leasehold"));
        }
        assert_eq!(name("postgres://h/d?application_name=billing").as_deref(), Some("billing"));
    }
}
