//! Checks, when a store opens, that the server knows the commands and that the user may run them.

use super::connect::NODE_CONNECT_TIMEOUT;
use super::error_codes;
use super::record::{ScriptReply, unexpected_reply};
use super::request::{Request, ScriptCall};
use super::runtimes::Connections;
use super::scripts;
use super::servers::Servers;
use crate::{Error, ErrorKind, Result};

/// The check of a cluster runs on this many keys, so that it succeeds while a shard is down.
const KEYS: u32 = 16;

/// Runs the required commands in a way that writes nothing.
///
/// A command that the server does not know is an error, and so is a missing permission to read.
/// Missing permissions to write, list or publish cause a warning only, since a user may be meant to
/// lack them.
pub(super) async fn check(connections: &Connections, keys: &str, channel: &str) -> Result<()> {
    let servers = &connections.servers;
    let (mut refused, mut unknown) = (Vec::new(), Vec::new());
    for answer in check_scripts(servers, keys, channel).await? {
        if answer.word != "checked" {
            return Err(unexpected_reply());
        }
        refused.extend(answer.words(0)?.into_iter().map(ToOwned::to_owned));
        unknown.extend(answer.words(1)?.into_iter().map(ToOwned::to_owned));
    }
    let without_duplicates = |words: &mut Vec<String>| {
        words.sort();
        words.dedup();
    };
    without_duplicates(&mut refused);
    without_duplicates(&mut unknown);
    if !unknown.is_empty() {
        return Err(error_codes::no_command(&unknown.join(", ")));
    }
    let reads: Vec<_> = refused
        .iter()
        .map(String::as_str)
        .filter(|command| matches!(*command, "TIME" | "HGETALL"))
        .collect();
    if !reads.is_empty() {
        let message = format!("the user lacks permission to run {} in scripts", reads.join(", "));
        let fix = format!("grant it: ACL SETUSER USER +{}", reads.join(" +").to_lowercase());
        return Err(Error::new(ErrorKind::Denied, message).with_fix(fix));
    }
    let mut others = vec![("SCAN", scan_once(servers, keys).await)];
    if connections.replicas.is_some() {
        others.push(("WAIT", wait_once(servers, keys).await));
    }
    for (command, checked) in others {
        let Err(error) = checked else { continue };
        match error.kind() {
            ErrorKind::Unsupported => return Err(error),
            ErrorKind::Denied => refused.push(command.to_owned()),
            // Any other problem with a server is reported when the server is used.
            _ => tracing::debug!(%error, "a server was not checked"),
        }
    }
    for command in refused {
        let effect = match command.as_str() {
            "PUBLISH" => "waiters get no hints",
            "SCAN" => "locks cannot be listed",
            _ => "locks can be read but not acquired, renewed or disabled",
        };
        tracing::warn!(
            missing = format!("+{}", command.to_lowercase()),
            "the user of the Redis store lacks a permission: {effect}"
        );
    }
    Ok(())
}

/// Runs the script that tries the commands, and returns its replies. In a cluster it runs on
/// several nodes, and those that cannot be reached are omitted.
async fn check_scripts(servers: &Servers, keys: &str, channel: &str) -> Result<Vec<ScriptReply>> {
    let request = |key: String| {
        let arguments = vec![channel.into()];
        Request::Script(ScriptCall { script: &scripts::CHECK, key: key.into(), arguments })
    };
    if !servers.is_cluster() {
        // No lock can have the empty name.
        return Ok(vec![ScriptReply::new(servers.call(request(keys.to_owned())).await?)?]);
    }
    // No name contains this character.
    let requests = (0..KEYS).map(|number| request(format!("{keys}\0{number}"))).collect();
    let (mut checked, mut failed) = (Vec::new(), None);
    for answer in servers.call_all(requests, |_| NODE_CONNECT_TIMEOUT).await? {
        match answer {
            Err(error) if error.is_transient() => failed = Some(error),
            answer => checked.push(ScriptReply::new(answer?)?),
        }
    }
    match failed {
        Some(error) if checked.is_empty() => Err(error),
        _ => Ok(checked),
    }
}

/// Runs one step of a scan at one server; in a cluster, at the first that can be reached.
async fn scan_once(servers: &Servers, keys: &str) -> Result<()> {
    let mut last = Ok(());
    for primary in servers.primaries().await? {
        let mut command = ::redis::cmd("SCAN");
        command.arg("0").arg("MATCH").arg(keys).arg("COUNT").arg(1);
        last = primary.read(command).await.map(drop);
        if !matches!(&last, Err(error) if error.is_transient()) {
            break;
        }
    }
    last
}

/// Runs WAIT for zero replicas, which returns at once.
async fn wait_once(servers: &Servers, keys: &str) -> Result<()> {
    let mut command = ::redis::cmd("WAIT");
    command.arg(0).arg(1);
    servers.call(Request::Command { key: keys.into(), command }).await.map(drop)
}
