//! A term is the name of a lock with the token of one of its grants.

use leasehold_core::{Error, FencingToken, LockName, Result};

/// A term is one grant of a lock name, named by its fencing token.
///
/// [`Guard`](leasehold_core::Guard) and [`Leadership`](leasehold_core::Leadership) have both, and
/// `leasehold run` gives them to its command as `LEASEHOLD_LOCK` and `LEASEHOLD_TOKEN`, with the
/// floor in `LEASEHOLD_FLOOR` if it is another number. Another lock library's token works too if
/// every later grant of the same name has a larger one.
///
/// ```
/// use leasehold_fence::{FencingToken, LockName, Term};
///
/// let term = Term::new(&LockName::new("ledger")?, FencingToken::new(7)?);
/// assert_eq!(term.token().get(), 7);
/// assert_eq!(term.floor(), term.token());
/// # Ok::<(), leasehold_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    name: LockName,
    token: FencingToken,
    floor: FencingToken,
}

impl Term {
    /// Creates the term of a lock with one holder: the only token that is accepted is its own.
    #[must_use]
    pub fn new(name: &LockName, token: FencingToken) -> Self {
        Self { name: name.clone(), token, floor: token }
    }

    /// Creates the term of one holder of several: every token from the floor on is accepted.
    ///
    /// The floor is the smallest token of a lock's present holders, as the grant states it.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](leasehold_core::ErrorKind::Invalid) if the floor is
    /// larger than the token.
    pub fn with_floor(self, floor: FencingToken) -> Result<Self> {
        if floor > self.token {
            let message = format!("the floor {floor} is larger than the token {}", self.token);
            return Err(Error::invalid(message)
                .with_fix("use the smallest token of the present holders")
                .for_lock(&self.name));
        }
        Ok(Self { floor, ..self })
    }

    /// Creates the term of a command that `leasehold run` started, from its environment.
    ///
    /// If the lock has several holders, the floor is in `LEASEHOLD_FLOOR`, unless it is the token.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](leasehold_core::ErrorKind::Invalid) if
    /// `LEASEHOLD_LOCK` or `LEASEHOLD_TOKEN` is missing, or if one of the three is not valid.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|variable| std::env::var(variable).ok())
    }

    fn from_variables(value: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let required = |variable: &str| {
            value(variable).ok_or_else(|| {
                Error::invalid(format!("the environment variable {variable} is missing"))
                    .with_fix("start this program with `leasehold run`")
            })
        };
        let name = LockName::new(required("LEASEHOLD_LOCK")?)?;
        let token = |variable: &str, text: String| {
            let token = text.parse().ok().and_then(|number| FencingToken::new(number).ok());
            token.ok_or_else(|| {
                Error::invalid(format!("{text:?} is not a valid fencing token"))
                    .with_fix(format!("{variable} must be at least 1 and below 2^53"))
                    .for_lock(&name)
            })
        };
        let term = Self::new(&name, token("LEASEHOLD_TOKEN", required("LEASEHOLD_TOKEN")?)?);
        match value("LEASEHOLD_FLOOR") {
            Some(text) => term.with_floor(token("LEASEHOLD_FLOOR", text)?),
            None => Ok(term),
        }
    }

    /// Returns the name of the lock.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.name
    }

    /// Returns the token of the grant.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// Returns the smallest token that is accepted: the token itself, unless the lock has several
    /// holders.
    #[must_use]
    pub fn floor(&self) -> FencingToken {
        self.floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u64) -> FencingToken {
        FencingToken::new(number).unwrap()
    }

    #[test]
    fn a_floor_above_the_token_is_refused() {
        let term = Term::new(&LockName::new("a").unwrap(), token(7));
        assert_eq!(term.clone().with_floor(token(5)).unwrap().floor(), token(5));
        let error = term.with_floor(token(8)).unwrap_err();
        assert!(error.is_invalid() && error.to_string().contains('8'), "{error}");
    }

    #[test]
    fn a_command_of_leasehold_run_reads_its_term() {
        let read_with = |lock: Option<&str>, token: Option<&str>, floor: Option<&str>| {
            Term::from_variables(|variable| {
                let value = match variable {
                    "LEASEHOLD_LOCK" => lock,
                    "LEASEHOLD_TOKEN" => token,
                    _ => floor,
                };
                value.map(str::to_owned)
            })
        };
        let read = |lock, token| read_with(lock, token, None);
        let term = read(Some("a"), Some("7")).unwrap();
        assert_eq!((term.name().as_str(), term.token()), ("a", token(7)));
        assert_eq!(term.floor(), token(7), "the lock has one holder");
        for (lock, token) in
            [(None, Some("7")), (Some("a"), None), (Some(""), Some("7")), (Some("a"), Some("0"))]
        {
            assert!(read(lock, token).unwrap_err().is_invalid(), "{lock:?} {token:?}");
        }
        let term = read_with(Some("a"), Some("7"), Some("5")).unwrap();
        assert_eq!((term.token(), term.floor()), (token(7), token(5)));
        for floor in ["8", "0", "x"] {
            let error = read_with(Some("a"), Some("7"), Some(floor)).unwrap_err();
            assert!(error.is_invalid(), "{floor}");
        }
    }
}
