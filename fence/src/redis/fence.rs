//! A fence is raised and checked in Redis or Valkey.

use ::redis::aio::ConnectionLike;
use ::redis::{FromRedisValue, RedisError, Script, ScriptInvocation, cmd};
use leasehold_core::{Error as CoreError, FencingToken, Namespace};

use super::error::{describe, foreign};
use super::script::{CHECK, CHECK_BOUND_FENCE, RAISE};
use crate::{Error, NotRaised, Result, Stale, Term};

/// A fence belongs to one term, and protects data in Redis or Valkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisFence {
    term: Term,
    key: String,
}

impl RedisFence {
    /// Creates the fence of a term, whose key is `NAMESPACE:fence:NAME`.
    #[must_use]
    pub fn new(namespace: &Namespace, term: &Term) -> Self {
        let key = format!("{namespace}:fence:{}", term.name());
        Self { term: term.clone(), key }
    }

    /// Returns the same fence with the key `{TAG}:NAMESPACE:fence:NAME`.
    ///
    /// The key is in the same hash slot as every other key with that hash tag. All processes must
    /// use the same tag.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](leasehold_core::ErrorKind::Invalid) if the tag is empty or
    /// contains `}`.
    pub fn with_hash_tag(self, tag: &str) -> Result<Self> {
        if tag.is_empty() || tag.contains('}') {
            return Err(CoreError::invalid(format!("{tag:?} is not a valid hash tag"))
                .with_fix("use the text between the braces of the application's keys")
                .for_lock(self.term.name())
                .into());
        }
        Ok(Self { key: format!("{{{tag}}}:{}", self.key), ..self })
    }

    /// Returns the term.
    #[must_use]
    pub fn term(&self) -> &Term {
        &self.term
    }

    /// Returns the key that holds the fence.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Raises the fence: from then on every script and transaction of an older term is refused.
    ///
    /// It waits for no transaction, but a connection whose server is gone may hold it up: set the
    /// connection's response timeout, or wrap the call in one, and then raise the fence again.
    ///
    /// # Errors
    /// This fails with [`Error::Stale`] if a newer term has raised its fence. After an error of the
    /// kind [`OutcomeUnknown`](leasehold_core::ErrorKind::OutcomeUnknown) the fence is raised or not;
    /// raise it again.
    ///
    /// # Cancel safety
    /// If the future is dropped, the fence is raised or not; raise it again.
    pub async fn raise(&self, connection: &mut impl ConnectionLike) -> Result<()> {
        let script = Script::new(&format!("{CHECK}{RAISE}"));
        let mut call = script.key(self.key.as_str());
        self.bind_arguments(&mut call);
        call.invoke_async(connection).await.map_err(|cause| self.error(cause))
    }

    /// Creates a script that first checks the fence, and then runs the given Lua code.
    ///
    /// Add the fence to every call with [`bind`](Self::bind); a call without it is refused. The
    /// code finds its own keys and arguments at their usual positions; the last key and the last
    /// three arguments are those of the fence.
    #[must_use]
    pub fn script(code: &str) -> Script {
        Script::new(&format!("{CHECK}{CHECK_BOUND_FENCE}{code}"))
    }

    /// Adds the fence's key and arguments to a call of a [`script`](Self::script). Call this once,
    /// after all other keys and arguments were added.
    pub fn bind(&self, call: &mut ScriptInvocation<'_>) {
        call.key(self.key.as_str());
        self.bind_arguments(call);
        call.arg(format!("leasehold_fence {}", self.key));
    }

    fn bind_arguments(&self, call: &mut ScriptInvocation<'_>) {
        call.arg(self.term.token().get()).arg(self.term.floor().get());
    }

    /// Watches the fence's key and checks it, before the `MULTI` of a transaction.
    ///
    /// If another term raises the fence before the `EXEC` of the transaction, the transaction is
    /// discarded and `EXEC` returns nil: call this again, and repeat the transaction.
    ///
    /// The connection must be used by this transaction only, because a `WATCH` on a shared
    /// connection does not protect it. It must not reconnect by itself, as a `ConnectionManager`
    /// does: the new connection watches nothing, so a transaction of an older term would take
    /// effect.
    ///
    /// # Errors
    /// This fails with [`Error::Stale`] if a newer term has raised its fence, and with
    /// [`Error::NotRaised`] if this one has not. The key is then no longer watched.
    ///
    /// # Cancel safety
    /// If the future is dropped, the key may be watched; send `UNWATCH`, or close the connection.
    pub async fn watch(&self, connection: &mut impl ConnectionLike) -> Result<()> {
        self.call::<()>(connection, "WATCH", Some(self.key.as_str())).await?;
        let raised = self.call::<Option<Vec<u8>>>(connection, "GET", Some(self.key.as_str())).await;
        let checked = raised.and_then(|raised| self.check(raised.as_deref()));
        if checked.is_err() {
            // If this fails too, the connection has failed, and its end also ends the watch.
            let _ = self.call::<()>(connection, "UNWATCH", None).await;
        }
        checked
    }

    async fn call<T: FromRedisValue>(
        &self,
        connection: &mut impl ConnectionLike,
        command: &str,
        key: Option<&str>,
    ) -> Result<T> {
        let mut command = cmd(command);
        if let Some(key) = key {
            command.arg(key);
        }
        command.query_async(connection).await.map_err(|cause| match cause.code() {
            Some("WRONGTYPE") => foreign(&self.term, &self.key),
            _ => self.error(cause),
        })
    }

    /// Compares the term with the key's value.
    fn check(&self, value: Option<&[u8]>) -> Result<()> {
        let raised = match value {
            None => 0,
            Some(value) => std::str::from_utf8(value)
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse::<u64>().ok())
                .ok_or_else(|| foreign(&self.term, &self.key))?,
        };
        let (name, token) = (self.term.name(), self.term.token());
        if raised > token.get() {
            return Err(Error::Stale(Stale::new(name, token, FencingToken::new(raised).ok())));
        }
        if raised < self.term.floor().get() {
            return Err(Error::NotRaised(NotRaised::new(name, token)));
        }
        Ok(())
    }

    /// Translates the error of a script that checks the fence.
    ///
    /// If it has the kind [`OutcomeUnknown`](leasehold_core::ErrorKind::OutcomeUnknown), the script may
    /// have run, as a whole or up to an error in its own code, which does not undo its writes: read
    /// the data before you run it again.
    #[must_use]
    pub fn error(&self, cause: RedisError) -> Error {
        describe(cause, &self.term, &self.key)
    }
}

#[cfg(test)]
mod tests {
    use leasehold_core::LockName;

    use super::*;

    fn fence(token: u64, floor: u64) -> RedisFence {
        let name = LockName::new("ledger").unwrap();
        let [token, floor] = [token, floor].map(|number| FencingToken::new(number).unwrap());
        let term = Term::new(&name, token).with_floor(floor).unwrap();
        RedisFence::new(&Namespace::default(), &term)
    }

    #[test]
    fn a_hash_tag_decides_the_slot() {
        let fence = fence(7, 7);
        assert_eq!(fence.key(), "leasehold:fence:ledger");
        let tagged = fence.clone().with_hash_tag("a").unwrap();
        assert_eq!(tagged.key(), "{a}:leasehold:fence:ledger");
        for tag in ["", "a}b"] {
            assert!(fence.clone().with_hash_tag(tag).is_err(), "{tag}");
        }
    }

    #[test]
    fn a_watched_value_is_compared_with_token_and_floor() {
        assert!(fence(7, 7).check(Some(b"7")).is_ok());
        assert!(fence(7, 5).check(Some(b"5")).is_ok());
        assert!(fence(7, 5).check(Some(b"7")).is_ok());
        assert!(matches!(fence(7, 5).check(Some(b"8")), Err(Error::Stale(_))));
        assert!(matches!(fence(7, 5).check(Some(b"4")), Err(Error::NotRaised(_))));
        assert!(matches!(fence(7, 7).check(None), Err(Error::NotRaised(_))));
        for foreign in [&b""[..], b"+7", b"7.0", b"x", b"99999999999999999999", b"\xff"] {
            assert!(matches!(fence(7, 7).check(Some(foreign)), Err(Error::Datastore(_))));
        }
    }
}
