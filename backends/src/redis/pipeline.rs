//! Sends commands in one round trip and reads their answers.

use std::sync::atomic::{AtomicBool, Ordering};

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::{Cmd, Pipeline, RedisResult, Value};

use super::call::Call;
use super::error_codes;
use super::request::Request;

/// The answers to a batch, and to the command that was sent after it.
pub(super) type Replies = (Vec<RedisResult<Value>>, Option<RedisResult<Value>>);

/// Sends the requests, followed by `then`. It sends those again that the server did not run because
/// it does not have their script, or because of other keys in the same command.
///
/// `one_slot` is set when the server refuses a command because its keys have different slots.
pub(super) async fn run(
    connection: &mut MultiplexedConnection,
    requests: &[Request],
    then: Option<&Cmd>,
    one_slot: &AtomicBool,
) -> RedisResult<Replies> {
    let mut calls = Call::for_batch(requests, one_slot.load(Ordering::Relaxed));
    let mut replies: Vec<_> =
        requests.iter().map(|_| Err(error_codes::missing_replies())).collect();
    loop {
        let commands = calls.iter().map(Call::command).chain(then.cloned());
        let mut answers = exchange(connection, commands).await?;
        let last = then.and_then(|_| answers.pop());
        let mut again = Vec::new();
        for (call, answer) in calls.into_iter().zip(answers) {
            if let Err(cause) = &answer {
                if error_codes::is_cross_slot(cause) {
                    one_slot.store(true, Ordering::Relaxed);
                }
                again.extend(call.repeated_after(cause));
            }
            for (at, reply) in call.replies(answer) {
                replies[at] = reply;
            }
        }
        if again.is_empty() {
            return Ok((replies, last));
        }
        calls = again;
    }
}

pub(super) async fn exchange(
    connection: &mut MultiplexedConnection,
    commands: impl IntoIterator<Item = Cmd>,
) -> RedisResult<Vec<RedisResult<Value>>> {
    let mut pipeline = Pipeline::new();
    let mut count = 0;
    for command in commands {
        pipeline.add_command(command);
        count += 1;
    }
    let values = connection.req_packed_commands(&pipeline, 0, count).await?;
    if values.len() != count {
        return Err(error_codes::missing_replies());
    }
    Ok(values.into_iter().map(error_codes::extract).collect())
}
