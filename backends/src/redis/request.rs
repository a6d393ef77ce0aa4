//! The requests to a server: each is a script or a command on one key.

use ::redis::Cmd;

use super::scripts::Script;
use super::slots;

/// A script or a command, with the key that determines its server in a cluster.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Script(ScriptCall),
    Command { key: Vec<u8>, command: Cmd },
}

/// A script with its key and arguments.
#[derive(Clone, Debug)]
pub(super) struct ScriptCall {
    pub(super) script: &'static Script,
    pub(super) key: Vec<u8>,
    pub(super) arguments: Vec<Vec<u8>>,
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
            Self::Script(call) => &call.key,
            Self::Command { key, .. } => key,
        }
    }

    /// Returns whether sending the request twice has the same effect as sending it once.
    pub(super) fn is_repeatable(&self) -> bool {
        match self {
            Self::Script(call) => call.script.is_repeatable,
            Self::Command { .. } => false,
        }
    }

    /// Returns the arguments of a script after its key.
    pub(super) fn arguments(&self) -> &[Vec<u8>] {
        match self {
            Self::Script(call) => &call.arguments,
            Self::Command { .. } => &[],
        }
    }

    /// Returns whether the reply is a list with an answer for each key.
    pub(super) fn takes_many_keys(&self) -> bool {
        matches!(self, Self::Script(call) if call.script.takes_many_keys)
    }

    /// Returns whether one command can carry both requests. With `one_slot`, their keys must have
    /// the same slot.
    pub(super) fn can_share_command(&self, other: &Self, one_slot: bool) -> bool {
        let (Self::Script(one), Self::Script(other)) = (self, other) else { return false };
        one.script.takes_many_keys
            && std::ptr::eq(one.script, other.script)
            && (!one_slot || slots::slot(&one.key) == slots::slot(&other.key))
    }
}
