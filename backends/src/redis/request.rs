//! The requests to a server: each is a script or a command on one key.

use std::time::Duration;

use ::redis::Cmd;
use uuid::Uuid;

use super::scripts::Script;
use super::slots;
use crate::LeaseId;

/// A script or a command, with the key that determines its server in a cluster.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Script(ScriptCall),
    Renewal(Renewal),
    Command { key: Vec<u8>, command: Cmd },
}

/// A script with its key and arguments.
#[derive(Clone, Debug)]
pub(super) struct ScriptCall {
    pub(super) script: &'static Script,
    pub(super) key: Vec<u8>,
    pub(super) arguments: Vec<Vec<u8>>,
}

/// The renewal of one lease. One command carries many renewals.
#[derive(Clone, Debug)]
pub(super) struct Renewal {
    pub(super) key: Vec<u8>,
    pub(super) lease: LeaseId,
    pub(super) ttl: Duration,
}

impl Request {
    /// Creates a command whose first argument is its key.
    pub(super) fn command(name: &str, key: &[u8]) -> Self {
        let mut command = ::redis::cmd(name);
        command.arg(key);
        Self::Command { key: key.to_vec(), command }
    }

    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Script(ScriptCall { key, .. })
            | Self::Renewal(Renewal { key, .. })
            | Self::Command { key, .. } => key,
        }
    }

    /// Returns whether sending the request twice has the same effect as sending it once.
    pub(super) fn is_repeatable(&self) -> bool {
        match self {
            Self::Script(call) => call.script.is_repeatable,
            Self::Renewal(_) => true,
            Self::Command { .. } => false,
        }
    }

    /// Adds the arguments of a script that follow the keys.
    pub(super) fn add_arguments(&self, command: &mut Cmd) {
        match self {
            Self::Script(call) => {
                for argument in &call.arguments {
                    command.arg(argument);
                }
            }
            Self::Renewal(Renewal { lease, ttl, .. }) => {
                let mut buffer = Uuid::encode_buffer();
                let lease: &str = lease.as_uuid().hyphenated().encode_lower(&mut buffer);
                command.arg(lease).arg(micros(*ttl));
            }
            Self::Command { .. } => {}
        }
    }

    /// Returns whether one command can carry both requests. With `one_slot`, their keys must have
    /// the same slot.
    pub(super) fn can_share_command(&self, other: &Self, one_slot: bool) -> bool {
        let (Self::Renewal(one), Self::Renewal(other)) = (self, other) else { return false };
        !one_slot || slots::slot(&one.key) == slots::slot(&other.key)
    }
}

/// Returns the duration in microseconds, rounded up. It is exact for a ttl, which is at most a day.
pub(super) fn micros(duration: Duration) -> u64 {
    let part = u64::from(duration.subsec_nanos().div_ceil(1000));
    duration.as_secs().saturating_mul(1_000_000).saturating_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_rounded_up_to_the_microsecond() {
        assert_eq!(micros(Duration::from_nanos(1)), 1);
        assert_eq!(micros(Duration::new(2, 7_000)), 2_000_007);
        assert_eq!(micros(Duration::from_nanos(1_999_999_001)), 2_000_000);
        assert_eq!(micros(Duration::MAX), u64::MAX);
    }
}
