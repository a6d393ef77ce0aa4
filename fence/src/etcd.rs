//! The fence for data in etcd.
//!
//! A check is one or two comparisons in the application's own transaction, which etcd decides
//! together with the writes. Raising the fence never waits.
//!
//! ```
//! use etcd_client::{KvClient, Txn, TxnOp};
//! use leasehold_fence::etcd::EtcdFence;
//! use leasehold_fence::{Namespace, Result, Term};
//!
//! async fn write(client: &mut KvClient, term: &Term, value: &str) -> Result<()> {
//!     let fence = EtcdFence::new(&Namespace::default(), term);
//!     fence.raise(client).await?; // once a term
//!     let put = TxnOp::put("ledger", value, None);
//!     let txn = Txn::new().when(fence.compares()).and_then([put]);
//!     let done = client.txn(txn).await.map_err(|cause| fence.error(cause))?;
//!     if !done.succeeded() {
//!         fence.verify(client).await?; // says why: the term is over, or was not raised
//!     }
//!     Ok(())
//! }
//! ```

use etcd_client::{Compare, CompareOp, Error as EtcdError, KvClient, Txn, TxnOp, TxnOpResponse};
use leasehold_core::{Error as CoreError, ErrorKind, FencingToken, Namespace};

use crate::{Error, NotRaised, Result, Stale, Term};

/// A raise that finds another value in each attempt ends after this many attempts.
const ATTEMPTS: u32 = 20;

/// A fence belongs to one term, and protects data in etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdFence {
    term: Term,
    namespace: Namespace,
    key: String,
}

/// This is the value of the fence's key, and the revision that wrote it.
struct Stored {
    raised: u64,
    revision: i64,
}

impl EtcdFence {
    /// Creates the fence of a term, whose key is `/NAMESPACE/fence/NAME`.
    #[must_use]
    pub fn new(namespace: &Namespace, term: &Term) -> Self {
        let key = format!("/{namespace}/fence/{}", term.name());
        Self { term: term.clone(), namespace: namespace.clone(), key }
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

    /// Raises the fence: from then on the comparisons of every older term fail.
    ///
    /// It waits for no transaction, but a connection whose server is gone may hold it up: wrap the call
    /// in a timeout, and then raise the fence again.
    ///
    /// # Errors
    /// This fails with [`Error::Stale`] if a newer term has raised its fence, and with
    /// [`Error::Conflict`] if other clients change its key during each attempt. After an error of
    /// the kind [`OutcomeUnknown`](ErrorKind::OutcomeUnknown) the fence is raised or not; raise it
    /// again.
    ///
    /// # Cancel safety
    /// If the future is dropped, the fence is raised or not; raise it again.
    pub async fn raise(&self, client: &mut KvClient) -> Result<()> {
        let floor = self.term.floor().get();
        for _ in 0..ATTEMPTS {
            let stored = self.read(client).await?;
            let raised = stored.as_ref().map_or(0, |stored| stored.raised);
            if raised > self.term.token().get() {
                return Err(self.stale(raised));
            }
            if raised >= floor {
                return Ok(());
            }
            let revision = stored.map_or(0, |stored| stored.revision);
            let unchanged = Compare::mod_revision(self.key.as_str(), CompareOp::Equal, revision);
            let put = TxnOp::put(self.key.as_str(), encode(floor), None);
            let txn = Txn::new().when([unchanged]).and_then([put]);
            let done = client.txn(txn).await.map_err(|cause| self.error(cause))?;
            if done.succeeded() {
                return Ok(());
            }
        }
        let message =
            format!("the key {:?} was changed during each of {ATTEMPTS} attempts", self.key);
        Err(Error::Conflict(
            CoreError::new(ErrorKind::Unavailable, message)
                .during("fence raise")
                .with_fix("raise the fence again")
                .for_lock(self.term.name()),
        ))
    }

    /// Returns the comparisons for [`Txn::when`]: they fail once a newer term has raised its fence.
    ///
    /// The comparisons of the application's own keys can be added to them.
    #[must_use]
    pub fn compares(&self) -> Vec<Compare> {
        let (token, floor) = (self.term.token().get(), self.term.floor().get());
        let compare = |op, number| Compare::value(self.key.as_str(), op, encode(number));
        if floor == token {
            return vec![compare(CompareOp::Equal, token)];
        }
        // etcd has no comparison "at least". A floor is at least 1, so the number below it exists.
        vec![compare(CompareOp::Greater, floor - 1), compare(CompareOp::Less, token + 1)]
    }

    /// Returns the comparison with the grant itself, for data in the etcd that also has the locks.
    ///
    /// The comparison fails as soon as the lock is granted again, so no fence needs to be raised.
    /// The namespace must be that of the store, and the term that of a lock with one holder.
    #[must_use]
    pub fn compare_grant(&self) -> Compare {
        let key = format!("/{}/granted/{}", self.namespace, self.term.name());
        Compare::mod_revision(key, CompareOp::Equal, i64::from(self.term.token()))
    }

    /// Reads the fence and compares it with the term: call this to learn whether the fence refused
    /// a transaction.
    ///
    /// A transaction that follows needs the comparisons too, because the fence may be raised in
    /// between.
    ///
    /// # Errors
    /// This fails with [`Error::Stale`] if a newer term has raised its fence, and with
    /// [`Error::NotRaised`] if this one has not.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn verify(&self, client: &mut KvClient) -> Result<()> {
        let raised = self.read(client).await?.map_or(0, |stored| stored.raised);
        if raised > self.term.token().get() {
            return Err(self.stale(raised));
        }
        if raised < self.term.floor().get() {
            return Err(Error::NotRaised(NotRaised::new(self.term.name(), self.term.token())));
        }
        Ok(())
    }

    async fn read(&self, client: &mut KvClient) -> Result<Option<Stored>> {
        let txn = Txn::new().and_then([TxnOp::get(self.key.as_str(), None)]);
        let read = client.txn(txn).await.map_err(|cause| self.error(cause))?;
        for response in read.op_responses() {
            if let TxnOpResponse::Get(read) = response
                && let Some(pair) = read.kvs().first()
            {
                let raised = decode(pair.value()).ok_or_else(|| self.foreign())?;
                return Ok(Some(Stored { raised, revision: pair.mod_revision() }));
            }
        }
        Ok(None)
    }

    fn stale(&self, raised: u64) -> Error {
        let newer = FencingToken::new(raised).ok();
        Error::Stale(Stale::new(self.term.name(), self.term.token(), newer))
    }

    fn foreign(&self) -> Error {
        CoreError::new(ErrorKind::Corrupt, format!("the key {:?} does not hold a fence", self.key))
            .with_fix("use another namespace, or delete it")
            .for_lock(self.term.name())
            .into()
    }

    /// Translates an error of etcd.
    ///
    /// If it has the kind [`OutcomeUnknown`](ErrorKind::OutcomeUnknown), the transaction may have taken
    /// effect: read the data before you run it again.
    #[must_use]
    pub fn error(&self, cause: EtcdError) -> Error {
        const PERMISSION_DENIED: i32 = 7;
        const UNAUTHENTICATED: i32 = 16;
        let (kind, message) = match &cause {
            EtcdError::GRpcStatus(status) => match i32::from(status.code()) {
                PERMISSION_DENIED => {
                    (ErrorKind::Denied, "this user may not read and write the key of the fence")
                }
                UNAUTHENTICATED => (ErrorKind::Denied, "etcd does not accept the authentication"),
                _ => (ErrorKind::OutcomeUnknown, "the request to etcd failed"),
            },
            EtcdError::InvalidArgs(_) => (ErrorKind::Invalid, "etcd refused the request"),
            _ => (ErrorKind::OutcomeUnknown, "the connection to etcd failed"),
        };
        CoreError::new(kind, message).with_source(cause).for_lock(self.term.name()).into()
    }
}

/// Returns the number as text that etcd orders as the numbers: it compares values byte by byte.
fn encode(number: u64) -> String {
    format!("{number:016}")
}

/// Reads such a text; returns `None` if it is not one.
fn decode(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let is_number = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_ordered_as_the_tokens_are() {
        let numbers = [0, 1, 9, 10, 99, 1 << 40, FencingToken::LIMIT - 1, FencingToken::LIMIT];
        for pair in numbers.windows(2) {
            assert!(encode(pair[0]) < encode(pair[1]), "{pair:?}");
        }
        for number in numbers {
            assert_eq!(decode(encode(number).as_bytes()), Some(number));
        }
    }

    #[test]
    fn foreign_values_are_not_read() {
        for value in [&b""[..], b"7", b"+000000000000007", b"00000000000000007", b"\xff"] {
            assert_eq!(decode(value), None);
        }
    }
}
