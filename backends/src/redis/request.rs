//! The requests to a server: each is a script or a command on one key.

use ::redis::Cmd;

use super::scripts::Script;

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

    /// Returns the command to send first: a script is named by its hash.
    pub(super) fn by_hash(&self) -> Cmd {
        match self {
            Self::Script(call) => call.command("EVALSHA", &call.script.sha),
            Self::Command { command, .. } => command.clone(),
        }
    }

    /// Returns the command for a server that does not have the script.
    pub(super) fn with_source(&self) -> Cmd {
        match self {
            Self::Script(call) => call.command("EVAL", call.script.code),
            Self::Command { command, .. } => command.clone(),
        }
    }
}

impl ScriptCall {
    fn command(&self, command: &str, script: &str) -> Cmd {
        let mut command = ::redis::cmd(command);
        command.arg(script).arg(1).arg(&self.key);
        for argument in &self.arguments {
            command.arg(argument);
        }
        command
    }
}
