//! Lock names, reasons and namespaces reach a store as text; they are validated once, here.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

fn check_text(what: &str, text: &str, max_bytes: usize) -> Result<()> {
    if text.is_empty() {
        return Err(Error::invalid(format!("{what} is empty"))
            .with_fix(format!("use 1 to {max_bytes} bytes")));
    }
    if text.len() > max_bytes {
        return Err(Error::invalid(format!(
            "{what} is {} bytes long; the limit is {max_bytes}",
            text.len()
        )));
    }
    if let Some(at) = text.find('\0') {
        return Err(Error::invalid(format!("{what} contains a NUL character at byte {at}")));
    }
    Ok(())
}

macro_rules! checked_text {
    ($type:ident, $what:literal, $max:expr) => {
        impl $type {
            /// A text may have at most this many bytes of UTF-8.
            pub const MAX_BYTES: usize = $max;

            /// Creates the value if the text is not empty, is not too long and has no NUL.
            ///
            /// # Errors
            /// This fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid); the message names
            /// the rule.
            pub fn new(text: impl AsRef<str>) -> Result<Self> {
                let text = text.as_ref();
                check_text($what, text, Self::MAX_BYTES)?;
                Ok(Self(Arc::from(text)))
            }

            /// Returns the text as given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(text: $type) -> Self {
                text.as_str().to_owned()
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

/// A lock name is 1 to 255 bytes of UTF-8 without NUL, compared byte for byte everywhere.
///
/// `a`, `A`, `a ` and the two encodings of `á` (NFC and NFD) are different locks on every store.
///
/// ```
/// use leasehold_core::LockName;
///
/// let name: LockName = "billing/nightly".parse()?;
/// assert_eq!(name.as_str(), "billing/nightly");
/// assert!(LockName::new("").unwrap_err().is_invalid());
/// # Ok::<(), leasehold_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LockName(Arc<str>);

checked_text!(LockName, "the lock name", 255);

// This is sound because `LockName` compares and hashes as its text does.
impl Borrow<str> for LockName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A reason says why a name is disabled, for people: 1 to 1024 bytes of UTF-8 without NUL.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(Arc<str>);

checked_text!(Reason, "the reason", 1024);

/// A namespace separates an application's locks in a store that applications share.
///
/// It becomes part of the name of a table, key or collection, so it is 1 to 32 of `a-z`, `0-9` and
/// `_`, starting with a letter.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// A namespace may have at most this many bytes.
    pub const MAX_BYTES: usize = 32;

    /// Creates the namespace if the text is valid.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid); the message says what is
    /// accepted.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        let first_ok = text.starts_with(|c: char| c.is_ascii_lowercase());
        let rest_ok =
            text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if first_ok && rest_ok && text.len() <= Self::MAX_BYTES {
            Ok(Self(Arc::from(text)))
        } else {
            Err(Error::invalid(format!("invalid namespace {text:?}"))
                .with_fix("use 1 to 32 of a-z, 0-9 and _, starting with a letter"))
        }
    }

    /// Returns the text as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Namespace {
    /// Returns the namespace `leasehold`.
    fn default() -> Self {
        Self(Arc::from("leasehold"))
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl FromStr for Namespace {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<String> for Namespace {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl From<Namespace> for String {
    fn from(namespace: Namespace) -> Self {
        namespace.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_in_bytes_not_characters() {
        assert!(LockName::new("á".repeat(127)).is_ok());
        assert!(LockName::new("á".repeat(128)).unwrap_err().is_invalid());
        assert!(LockName::new("a\0b").unwrap_err().to_string().contains("byte 1"));
        assert!(LockName::new("").is_err());
    }

    #[test]
    fn names_from_json_are_validated() {
        assert!(serde_json::from_str::<LockName>("\"\"").is_err());
        assert_eq!(serde_json::from_str::<LockName>("\"a\"").unwrap().as_str(), "a");
    }

    #[test]
    fn a_namespace_is_a_valid_sql_identifier() {
        for good in ["a", "app_2", "leasehold"] {
            assert!(Namespace::new(good).is_ok(), "{good}");
        }
        let long = "a".repeat(33);
        for bad in ["", "A", "1a", "a-b", "a b", "a\"", "_a", "á", long.as_str()] {
            assert!(Namespace::new(bad).is_err(), "{bad}");
        }
    }
}
