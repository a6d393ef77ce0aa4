//! A store's URL may have a password, which is not shown.

use std::fmt;

use crate::common::url::split;

/// This is the URL of a store, of which only [`as_str`](Self::as_str) shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(String);

impl StoreUrl {
    pub(super) fn new(url: String) -> Self {
        Self(url)
    }

    /// Returns the whole URL, for [`url::open`](crate::url::open).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreUrl {
    /// Shows the URL without user, password and the values of options.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.0))
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&redacted(&self.0), f)
    }
}

/// Removes what may be or belong to a password: all before the last `@`, and all after a `?` or
/// `#`.
fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = split(url) else { return "***".to_owned() };
    if scheme.eq_ignore_ascii_case("sqlite") || scheme.eq_ignore_ascii_case("memory") {
        return url.to_owned();
    }
    let slashes = if rest.starts_with("//") { "//" } else { "" };
    let rest = &rest[slashes.len()..];
    let (login, behind) = match rest.rsplit_once('@') {
        Some((_, behind)) => ("***@", behind),
        None => ("", rest),
    };
    let (place, more) = match behind.find(['?', '#']) {
        Some(at) => (&behind[..at], format!("{}***", &behind[at..=at])),
        None => (behind, String::new()),
    };
    format!("{scheme}:{slashes}{login}{place}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_redacted_entirely() {
        for (url, shown) in [
            ("postgres://u:secret@h:5432/d", "postgres://***@h:5432/d"),
            ("postgres://u:secret@h/d?sslmode=require", "postgres://***@h/d?***"),
            ("postgres://h/d?password=secret", "postgres://h/d?***"),
            ("postgress://u:secret@h", "postgress://***@h"),
            ("redis://:sec/re?t@#secret@h", "redis://***@h"),
            ("redis:u:secret@h", "redis:***@h"),
            ("mongodb://h/#secret", "mongodb://h/#***"),
            ("sqlite:/var/lib/a?b@c.db", "sqlite:/var/lib/a?b@c.db"),
            ("memory:", "memory:"),
            ("secret", "***"),
            ("é:ü@ö?ß", "é:***@ö?***"),
        ] {
            assert_eq!(StoreUrl::new(url.into()).to_string(), shown);
            assert_eq!(format!("{:?}", StoreUrl::new(url.into())), format!("{shown:?}"));
        }
    }
}
