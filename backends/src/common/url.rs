//! Reads the parts of a URL that are the same for all backends.

use crate::{Error, Result};

/// Returns the scheme and what comes after its colon.
pub(crate) fn split(url: &str) -> Option<(&str, &str)> {
    url.split_once(':')
}

/// Refuses an `@` after the host, unless it is clearly part of an option's value. Such an `@` most
/// likely ends a password that contains a `/`, `?` or `#` which is not percent-encoded. The rest of
/// that password would be read as a path or an option, which messages show.
pub(crate) fn check_login(url: &str) -> Result<()> {
    let rest = split(url).map_or("", |(_, rest)| rest.strip_prefix("//").unwrap_or(rest));
    let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (path, query) = behind.split_once('?').unwrap_or((behind, ""));
    let no_password = !authority.contains(':');
    // Azure's MongoDB writes appName=@account@.
    let plain = |name: &str| no_password || name.eq_ignore_ascii_case("appName");
    let doubtful = |option: &str| {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        name.contains('@') || value.contains('@') && (!plain(name) || value.contains('#'))
    };
    if path.contains('@') || query.split('&').any(doubtful) {
        return Err(Error::invalid("the URL has an @ after its host")
            .with_fix("percent-encode the password: / as %2F, ? as %3F, # as %23 and @ as %40"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unencoded_password_is_not_read_as_a_path() {
        for rest in ["/secret@h/d", "12/secret@h/d", "?secret@h", "?ca=secret@h", "#secret@h/d"] {
            for scheme in ["redis", "redis+sentinel", "etcd", "postgres", "mysql", "mongodb"] {
                let error = check_login(&format!("{scheme}://u:{rest}")).unwrap_err();
                assert!(error.is_invalid() && !error.to_string().contains("secret"), "{error}");
            }
        }
        for url in [
            "etcd://u:p@h/a%40b",
            "redis://u:p@h",
            "redis://h?ca=/a",
            "postgres://h/d?user=me@corp",
            "mongodb://u:p@h:10255/?ssl=true&appName=@account@",
            "postgres:",
            "",
        ] {
            assert!(check_login(url).is_ok(), "{url}");
        }
        for url in [
            "mongodb://u:p@a/d@b?c=@d",
            "mongodb://u:p@a?b@c",
            "mongodb://u:p@a?appName=c#d@e",
            "postgres://u:p@ss?a=word@host/d",
            "postgres://u:p@h:5432/d?user=me@corp",
        ] {
            assert!(check_login(url).is_err(), "{url}");
        }
    }
}
