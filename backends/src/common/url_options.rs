//! Checks the options after the question mark of a URL.

use super::nearest;
use crate::{Error, Result};

/// Refuses an option that the driver does not read: if it were ignored, a misspelt TLS option would
/// result in an unencrypted connection.
pub(crate) fn check<'a>(names: impl IntoIterator<Item = &'a str>, known: &[&str]) -> Result<()> {
    match names.into_iter().find(|name| !known.contains(name)) {
        Some(name) => Err(unknown(name, known)),
        None => Ok(()),
    }
}

/// Returns the error for an unknown option. It does not show the value, which may be a password.
pub(crate) fn unknown(name: &str, known: &[&str]) -> Error {
    let shown: String = name.chars().take(40).collect();
    let error = Error::invalid(format!("unknown URL option {shown:?}"));
    match nearest(name, known.iter().map(|known| ((*known).to_owned(), *known))) {
        Some(meant) => error.with_fix(format!("did you mean {meant:?}?")),
        None => error.with_fix(format!("the known options are {}", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_option_is_refused_with_the_nearest_name() {
        let known = ["sslmode", "sslrootcert", "host"];
        check(["host", "sslmode"], &known).unwrap();
        let error = check(["host", "ssl-mod"], &known).unwrap_err();
        assert_eq!(error.to_string(), "unknown URL option \"ssl-mod\"; did you mean \"sslmode\"?");
        let error = check(["colour"], &known).unwrap_err();
        assert!(error.to_string().ends_with("the known options are sslmode, sslrootcert, host"));
    }
}
