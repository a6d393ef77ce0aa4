//! The commands that carry requests. Renewals share a command.

use ::redis::{Cmd, RedisError, RedisResult, Value};

use super::request::Request;
use super::scripts::Script;
use super::{error_codes, renewal_reply, scripts};

/// One command has at most this many keys, because a server does nothing else while a script runs.
const MAX_KEYS: usize = 100;

/// A command, and the requests that it carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    requests: &'a [Request],
    /// The index of the first of these requests in their batch.
    first: usize,
    sends_source: bool,
}

impl<'a> Call<'a> {
    /// Returns the fewest calls that carry the requests in their order. With `one_slot`, all keys
    /// of a call have the same slot.
    pub(super) fn for_batch(requests: &'a [Request], one_slot: bool) -> Vec<Self> {
        let mut calls = Vec::new();
        let mut first = 0;
        for alike in requests.chunk_by(|one, next| one.can_share_command(next, one_slot)) {
            for requests in alike.chunks(MAX_KEYS) {
                calls.push(Self { requests, first, sends_source: false });
                first += requests.len();
            }
        }
        calls
    }

    pub(super) fn for_one(request: &'a Request) -> Self {
        Self { requests: std::slice::from_ref(request), first: 0, sends_source: false }
    }

    /// Returns the calls that repeat this one if that error is its reply and the server did not run
    /// it, and otherwise an empty list.
    ///
    /// A server refuses a command as a whole because of one of its keys, so each request is then
    /// repeated by itself.
    pub(super) fn repeated_after(self, cause: &RedisError) -> Vec<Self> {
        if error_codes::is_no_script(cause) && !self.sends_source {
            return vec![self.with_source()];
        }
        if self.requests.len() == 1 || error_codes::is_of_connection(cause) {
            return Vec::new();
        }
        let alone = self.requests.chunks(1);
        alone.zip(self.first..).map(|(requests, first)| Self { requests, first, ..self }).collect()
    }

    /// Returns the call for a server that does not have the script.
    pub(super) fn with_source(self) -> Self {
        Self { sends_source: true, ..self }
    }

    /// Returns the command. A script is named by its hash, unless its source is sent.
    pub(super) fn command(&self) -> Cmd {
        let script: &Script = match &self.requests[0] {
            Request::Command { command, .. } => return command.clone(),
            Request::Script(call) => call.script,
            Request::Renewal(_) => &scripts::RENEW,
        };
        let mut command = if self.sends_source {
            let mut command = ::redis::cmd("EVAL");
            command.arg(script.code);
            command
        } else {
            let mut command = ::redis::cmd("EVALSHA");
            command.arg(&script.sha);
            command
        };
        command.arg(self.requests.len());
        for request in self.requests {
            command.arg(request.key());
        }
        for request in self.requests {
            request.add_arguments(&mut command);
        }
        command
    }

    /// Returns the reply to each request, with the index of the request in its batch.
    pub(super) fn replies(
        &self,
        reply: RedisResult<Value>,
    ) -> impl Iterator<Item = (usize, RedisResult<Value>)> + use<> {
        let count = self.requests.len();
        let replies = match &self.requests[0] {
            Request::Renewal(_) => reply
                .and_then(|reply| renewal_reply::split(reply, count))
                .unwrap_or_else(|cause| vec![Err(cause); count]),
            Request::Script(_) | Request::Command { .. } => vec![reply],
        };
        (self.first..).zip(replies)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::LeaseId;
    use crate::redis::request::{Renewal, ScriptCall};

    const LEASE: &str = "00000000-0000-0000-0000-0000000000ab";

    fn renewals(keys: &[&str]) -> Vec<Request> {
        let renewal = |key: &&str| {
            let (key, lease) = (key.as_bytes().to_vec(), LeaseId::from_uuid(Uuid::from_u128(0xab)));
            Request::Renewal(Renewal { key, lease, ttl: Duration::from_micros(9) })
        };
        keys.iter().map(renewal).collect()
    }

    fn sizes(requests: &[Request], one_slot: bool) -> Vec<usize> {
        Call::for_batch(requests, one_slot).iter().map(|call| call.requests.len()).collect()
    }

    fn parsed(reply: &str) -> RedisResult<Value> {
        error_codes::extract(::redis::parse_redis_value(reply.as_bytes()).unwrap())
    }

    #[test]
    fn renewals_share_commands_of_at_most_a_hundred_keys() {
        assert_eq!(sizes(&renewals(&["key"; 250]), false), [100, 100, 50]);
        let mixed = renewals(&["{a}1", "{a}2", "{b}1", "{a}3"]);
        assert_eq!(sizes(&mixed, false), [4]);
        assert_eq!(sizes(&mixed, true), [2, 1, 1]);
        // Other scripts take one key.
        let release = |key: &str| {
            let (key, arguments) = (key.into(), Vec::new());
            Request::Script(ScriptCall { script: &scripts::RELEASE, key, arguments })
        };
        assert_eq!(sizes(&[release("a"), release("b")], false), [1, 1]);
    }

    #[test]
    fn a_shared_command_has_all_keys_before_the_arguments() {
        let requests = renewals(&["a", "b"]);
        let command = Call::for_batch(&requests, false)[0].command();
        let mut expected = ::redis::cmd("EVALSHA");
        expected.arg(&scripts::RENEW.sha);
        for argument in ["2", "a", "b", LEASE, "9", LEASE, "9"] {
            expected.arg(argument);
        }
        assert_eq!(command.get_packed_command(), expected.get_packed_command());
    }

    #[test]
    fn an_error_in_a_shared_reply_is_the_reply_to_its_own_request() {
        let requests = renewals(&["a", "b", "c"]);
        let call = Call::for_batch(&requests, false)[0];
        let replies: Vec<_> =
            call.replies(parsed("*2\r\n$3\r\nlal\r\n-WRONGTYPE a string\r\n")).collect();
        let [(0, Ok(Value::Nil)), (1, Err(cause)), (2, Ok(Value::Nil))] = &replies[..] else {
            panic!("{replies:?}")
        };
        assert_eq!(cause.code(), Some("WRONGTYPE"));
        // A reply to another number of requests says nothing about any of them.
        let fewer: Vec<_> = call.replies(parsed("*1\r\n$1\r\nl\r\n")).collect();
        assert!(fewer.len() == 3 && fewer.iter().all(|(_, reply)| reply.is_err()));
    }

    #[test]
    fn requests_of_a_refused_command_are_repeated_by_themselves() {
        let requests = renewals(&["a", "b"]);
        let call = Call::for_batch(&requests, false)[0];
        let repeated = |call: Call<'_>, error: &str| -> Vec<_> {
            let again = call.repeated_after(&parsed(error).unwrap_err());
            again.iter().map(|call| (call.first, call.requests.len(), call.sends_source)).collect()
        };
        assert_eq!(repeated(call, "-NOSCRIPT no\r\n"), [(0, 2, true)]);
        assert_eq!(repeated(call.with_source(), "-NOSCRIPT no\r\n"), [(0, 1, true), (1, 1, true)]);
        for refused in ["-CROSSSLOT keys\r\n", "-NOPERM a key\r\n", "-TRYAGAIN later\r\n"] {
            assert_eq!(repeated(call, refused), [(0, 1, false), (1, 1, false)], "{refused}");
            assert!(repeated(Call::for_one(&requests[0]), refused).is_empty());
        }
        assert!(repeated(call, "-LOADING data\r\n").is_empty());
    }
}
