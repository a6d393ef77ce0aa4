//! Reads the reply to a command that renews leases.
//!
//! It is a list. Its first element has a letter for each lease, and after that come the answers of
//! those leases that are neither extended nor lost.

use std::time::Duration;

use ::redis::{RedisResult, Value};

use super::error_codes;
use super::record::{ScriptReply, unexpected_reply};
use super::request::micros;
use crate::{LockName, LockRecord, RenewOutcome, Result};

/// The letters of leases without an answer of their own.
const EXTENDED: u8 = b'e';
const LOST: u8 = b'l';

/// The letter of a lease that has an answer.
const ANSWERED: u8 = b'a';

/// Splits the reply to that many renewals into a reply to each: [`Value::Okay`] if the lease was
/// extended, [`Value::Nil`] if it is lost, and otherwise its own answer.
///
/// An error in the list is the reply to its own renewal. An answer without a letter is an error of
/// the whole reply, because nothing says to which lease it belongs.
pub(super) fn split(reply: Value, count: usize) -> RedisResult<Vec<RedisResult<Value>>> {
    let Value::Array(parts) = reply else { return Err(error_codes::missing_replies()) };
    let mut parts = parts.into_iter();
    let letters = match parts.next() {
        Some(Value::BulkString(letters)) if letters.len() == count => letters,
        _ => return Err(error_codes::missing_replies()),
    };
    let of_letter = |letter| match letter {
        EXTENDED => Ok(Value::Okay),
        LOST => Ok(Value::Nil),
        ANSWERED => match parts.next().map(error_codes::extract) {
            Some(Ok(answer @ Value::Array(_))) => Ok(answer),
            Some(Err(cause)) => Err(cause),
            _ => Err(error_codes::missing_replies()),
        },
        _ => Err(error_codes::unexpected_replies()),
    };
    let replies = letters.into_iter().map(of_letter).collect();
    match parts.next() {
        Some(_) => Err(error_codes::unexpected_replies()),
        None => Ok(replies),
    }
}

/// Returns the outcome of the renewal of that name by that ttl.
pub(super) fn outcome(
    name: &LockName,
    ttl: Duration,
    reply: Result<Value>,
) -> Result<RenewOutcome> {
    let answer = match reply? {
        Value::Okay => return Ok(RenewOutcome::extended(Duration::from_micros(micros(ttl)))),
        Value::Nil => return Ok(RenewOutcome::Lost),
        answer => ScriptReply::for_lock(name, answer)?,
    };
    if answer.word != "ending" {
        return Err(unexpected_reply());
    }
    let left = answer.duration(1)?;
    Ok(RenewOutcome::disabled(answer.reason(name)?, left))
}

/// Reads the record in the reply to the renewal of entries of that name; `None` if it has no queue.
pub(super) fn record(name: &LockName, reply: Result<Value>) -> Result<Option<LockRecord>> {
    let answer = ScriptReply::for_lock(name, reply?)?;
    match &*answer.word {
        "none" => Ok(None),
        "record" => answer.record(name).map(Some),
        _ => Err(unexpected_reply()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn bulk(bytes: &[u8]) -> Value {
        Value::BulkString(bytes.to_vec())
    }

    fn parsed(reply: &str) -> Value {
        ::redis::parse_redis_value(reply.as_bytes()).unwrap()
    }

    #[test]
    fn each_renewal_has_its_own_reply() {
        let ending = "*3\r\n$6\r\nending\r\n$1\r\nr\r\n$1\r\n5\r\n";
        let reply = format!("*3\r\n$5\r\neaela\r\n-WRONGTYPE a string\r\n{ending}");
        let replies = split(parsed(&reply), 5).unwrap();
        let [
            Ok(Value::Okay),
            Err(cause),
            Ok(Value::Okay),
            Ok(Value::Nil),
            Ok(answer @ Value::Array(_)),
        ] = &replies[..]
        else {
            panic!("{replies:?}")
        };
        assert_eq!(cause.code(), Some("WRONGTYPE"));
        assert_eq!(answer, &parsed(ending));
    }

    #[test]
    fn a_reply_to_another_number_of_renewals_is_an_error() {
        for reply in
            ["*0\r\n", "*1\r\n$1\r\ne\r\n", "*1\r\n$3\r\neee\r\n", "$2\r\nee\r\n", "+OK\r\n"]
        {
            split(parsed(reply), 2).unwrap_err();
        }
        // One of the answers is missing, or is not an answer of the script.
        for reply in ["*2\r\n$2\r\naa\r\n*0\r\n", "*3\r\n$2\r\naa\r\n*0\r\n+OK\r\n"] {
            let replies = split(parsed(reply), 2).unwrap();
            assert!(replies[0].is_ok() && replies[1].is_err(), "{replies:?}");
        }
    }

    #[test]
    fn an_unknown_letter_is_an_error_of_its_own_renewal() {
        let replies = split(parsed("*2\r\n$4\r\nexal\r\n*0\r\n"), 4).unwrap();
        let [Ok(Value::Okay), Err(_), Ok(Value::Array(_)), Ok(Value::Nil)] = &replies[..] else {
            panic!("{replies:?}")
        };
    }

    #[test]
    fn an_answer_without_a_letter_is_an_error_of_the_whole_reply() {
        for reply in [
            "*2\r\n$2\r\nee\r\n*0\r\n",
            "*2\r\n$2\r\nex\r\n*0\r\n",
            "*3\r\n$2\r\nea\r\n*0\r\n*0\r\n",
            "*3\r\n$2\r\nal\r\n*0\r\n-ERR no\r\n",
        ] {
            split(parsed(reply), 2).unwrap_err();
        }
    }

    #[test]
    fn a_lease_is_extended_by_its_whole_ttl() {
        let name = LockName::new("a").unwrap();
        let of = |reply| outcome(&name, Duration::from_nanos(1_500), Ok(reply)).unwrap();
        assert_eq!(of(Value::Okay), RenewOutcome::extended(Duration::from_micros(2)));
        assert_eq!(of(Value::Nil), RenewOutcome::Lost);
    }

    #[test]
    fn a_corrupt_reason_is_an_error_of_its_lease() {
        let name = LockName::new("a").unwrap();
        let of = |parts: Vec<Value>| outcome(&name, Duration::ZERO, Ok(Value::Array(parts)));
        let ending = |reason: &[u8]| of([b"ending", reason, b"5"].map(bulk).to_vec());
        for damaged in [&b""[..], b"\xff", b"a\0b", &[b'x'; 1025]] {
            assert_eq!(ending(damaged).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        assert_eq!(of(vec![bulk(b"what")]).unwrap_err().kind(), ErrorKind::Corrupt);
        let outcome = ending(b"upkeep").unwrap();
        assert!(
            matches!(outcome, RenewOutcome::Disabled { reason, .. } if reason.as_str() == "upkeep")
        );
    }

    #[test]
    fn entries_without_a_queue_are_lost() {
        let name = LockName::new("a").unwrap();
        let of = |parts: Vec<Value>| record(&name, Ok(Value::Array(parts)));
        assert_eq!(of(vec![bulk(b"none")]).unwrap(), None);
        let flat = Value::Array(vec![bulk(b"token"), bulk(b"7")]);
        let found = of(vec![bulk(b"record"), bulk(b"9"), flat.clone()]).unwrap();
        assert!(found.is_some_and(|found| found.queue.is_none()));
        for word in [&b"damaged"[..], b"what"] {
            let error = of(vec![bulk(word), bulk(b"9"), flat.clone()]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
    }
}
