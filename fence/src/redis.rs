//! The fence for data in Redis or Valkey.
//!
//! The server runs one script or `MULTI` at a time, so raising the fence never waits. A check is
//! the first statement of the application's own script, or of a transaction with `WATCH`:
//!
//! ```
//! use leasehold_fence::redis::RedisFence;
//! use leasehold_fence::{Namespace, Result, Term};
//! use redis::aio::ConnectionLike;
//!
//! async fn add(connection: &mut impl ConnectionLike, term: &Term, amount: i64) -> Result<i64> {
//!     let fence = RedisFence::new(&Namespace::default(), term);
//!     fence.raise(connection).await?; // once a term
//!     let script = RedisFence::script("return redis.call('INCRBY', KEYS[1], ARGV[1])");
//!     let mut call = script.key("ledger");
//!     fence.bind(call.arg(amount));
//!     call.invoke_async(connection).await.map_err(|cause| fence.error(cause))
//! }
//! ```
//!
//! In a cluster the keys of a script must be in the same hash slot as [`RedisFence::key`]; see
//! [`RedisFence::with_hash_tag`].
//!
//! # What a failover can lose
//!
//! Replication is asynchronous: the failure of a primary can lose the latest raise, and until the
//! next one an older term can write again. `WAIT` after [`RedisFence::raise`] makes this less likely.
//!
//! If a fence's key is deleted, an older term can write again too. The key never expires, but a
//! `maxmemory-policy` whose name begins with `allkeys` may evict it: use `noeviction` or a policy
//! whose name begins with `volatile`.

use ::redis::aio::ConnectionLike;
use ::redis::{
    ErrorKind as CauseKind, FromRedisValue, RedisError, Script, ScriptInvocation, ServerErrorKind,
    cmd,
};
use leasehold_core::{Error as CoreError, ErrorKind, FencingToken, Namespace};

use crate::{Error, NotRaised, Result, Stale, Term};

/// This Lua code defines `leasehold_check(key, token, floor)`, for scripts that are not created with
/// [`RedisFence::script`], such as those of a Redis function.
///
/// It returns `nil` if the term may write. Otherwise it returns an error, which the script must
/// return before it writes, and which [`RedisFence::error`] translates.
pub const CHECK: &str = include_str!("redis/check.lua");

/// This Lua code checks the fence that a call was given, before the code of the application.
const CHECK_BOUND_FENCE: &str = include_str!("redis/check_bound_fence.lua");

const RAISE: &str = "local refused = leasehold_check(KEYS[1], ARGV[1], ARGV[2], true)
return refused or redis.status_reply('OK')
";

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
    /// This fails with [`ErrorKind::Invalid`] if the tag is empty or contains `}`.
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
    /// kind [`OutcomeUnknown`](ErrorKind::OutcomeUnknown) the fence is raised or not; raise it
    /// again.
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
            Some("WRONGTYPE") => self.foreign(),
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
                .ok_or_else(|| self.foreign())?,
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

    fn foreign(&self) -> Error {
        CoreError::new(ErrorKind::Corrupt, format!("the key {:?} does not hold a fence", self.key))
            .with_fix("use another namespace, or delete it")
            .for_lock(self.term.name())
            .into()
    }

    /// Translates the error of a script that checks the fence.
    ///
    /// If it has the kind [`OutcomeUnknown`](ErrorKind::OutcomeUnknown), the script may have run, as a
    /// whole or up to an error in its own code, which does not undo its writes: read the data
    /// before you run it again.
    #[must_use]
    pub fn error(&self, cause: RedisError) -> Error {
        let (name, token) = (self.term.name(), self.term.token());
        match cause.code() {
            Some("LEASEHOLDSTALE") => {
                let newer = cause.detail().and_then(|detail| detail.trim().parse().ok());
                let newer = newer.and_then(|number| FencingToken::new(number).ok());
                return Error::Stale(Stale::new(name, token, newer));
            }
            Some("LEASEHOLDNOTRAISED") => return Error::NotRaised(NotRaised::new(name, token)),
            Some("LEASEHOLDFOREIGN") => return self.foreign(),
            Some("LEASEHOLDUNBOUND") => {
                let message = "the last key and arguments of the script's call are not the fence's";
                return CoreError::invalid(message)
                    .with_fix("call RedisFence::bind once, after all other keys and arguments")
                    .for_lock(name)
                    .into();
            }
            _ => {}
        }
        let (kind, message, fix) = match cause.kind() {
            CauseKind::Server(ServerErrorKind::NoPerm) => (
                ErrorKind::Denied,
                "the user lacks a permission",
                "allow it the commands and the keys of the call, with ACL SETUSER",
            ),
            CauseKind::AuthenticationFailed => {
                (ErrorKind::Denied, "the server did not accept the user and password", "check both")
            }
            CauseKind::Server(_) | CauseKind::Extension if is_before_any_write(&cause) => {
                (ErrorKind::Unavailable, "the server returned an error", "see its cause")
            }
            CauseKind::Server(_) | CauseKind::Extension => (
                ErrorKind::OutcomeUnknown,
                "the server returned an error, maybe after some writes",
                "see its cause, and read the data before you repeat the call",
            ),
            _ => (
                ErrorKind::OutcomeUnknown,
                "the connection to the server failed",
                "read the data before you repeat the call",
            ),
        };
        CoreError::new(kind, message).with_fix(fix).with_source(cause).for_lock(name).into()
    }
}

/// Returns whether that error means that the script or transaction was refused before its first
/// write.
///
/// Any other error may come from a later command of the application's script, or from its own code.
fn is_before_any_write(cause: &RedisError) -> bool {
    const CODES: [&str; 15] = [
        "ASK",
        "BUSY",
        "CLUSTERDOWN",
        "CROSSSLOT",
        "EXECABORT",
        "LOADING",
        "MASTERDOWN",
        "MISCONF",
        "MOVED",
        "NOAUTH",
        "NOREPLICAS",
        "NOSCRIPT",
        "OOM",
        "READONLY",
        "TRYAGAIN",
    ];
    cause.code().is_some_and(|code| CODES.contains(&code))
}

#[cfg(test)]
mod tests {
    use ::redis::parse_redis_value;
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

    #[test]
    fn an_error_of_the_applications_own_code_may_come_after_a_write() {
        for (reply, kind) in [
            ("-ERR user_script:9: attempt to index a nil value", ErrorKind::OutcomeUnknown),
            ("-WRONGTYPE Operation against a key", ErrorKind::OutcomeUnknown),
            ("-READONLY You can't write", ErrorKind::Unavailable),
            ("-OOM command not allowed", ErrorKind::Unavailable),
            ("-NOPERM this user has no permissions", ErrorKind::Denied),
            ("-LEASEHOLDUNBOUND the fence must be bound once", ErrorKind::Invalid),
        ] {
            let reply = parse_redis_value(format!("{reply}\r\n").as_bytes()).unwrap();
            let error = fence(7, 7).error(reply.extract_error().unwrap_err());
            let Error::Datastore(error) = error else { panic!("{error}") };
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}
