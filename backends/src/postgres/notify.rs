//! These statements send a hint, and must not fail because of it.
//!
//! A notification is sent within the statement's transaction and can make its commit fail when the
//! server's queue is full. Any session that listens and stays in a transaction can cause that. So
//! these statements have a second form without the hint.

use super::asynchronous::ASYNCHRONOUS;
use crate::sql::statement::{Parameter, Statement};

/// Creates both forms from the text of a statement; `text` receives the expression for the column
/// `notified` of the row `l`.
pub(super) fn notifying(
    channel: &str,
    parameters: &'static [Parameter],
    text: impl Fn(&str) -> String,
) -> Statement {
    with_forms(&notify(channel), parameters, text)
}

/// Does the same for a statement that is committed asynchronously. Commits that send notifications
/// wait for each other, so this one does not make the others wait for the disk.
pub(super) fn notifying_asynchronously(
    channel: &str,
    parameters: &'static [Parameter],
    text: impl Fn(&str) -> String,
) -> Statement {
    with_forms(&format!("{}, {ASYNCHRONOUS}", notify(channel)), parameters, text)
}

/// Does the same for the text of a hint that is another expression, and sends none if that is NULL.
pub(super) fn notifying_about(
    hint: &str,
    channel: &str,
    parameters: &'static [Parameter],
    text: impl Fn(&str) -> String,
) -> Statement {
    // PostgreSQL sends an empty notification for NULL.
    let notify = format!(
        "CASE WHEN {hint} IS NOT NULL THEN pg_notify('{channel}', {hint})::text END AS notified"
    );
    with_forms(&format!("{notify}, {ASYNCHRONOUS}"), parameters, text)
}

fn notify(channel: &str) -> String {
    format!("pg_notify('{channel}', l.name)::text AS notified")
}

fn with_forms(
    notify: &str,
    parameters: &'static [Parameter],
    text: impl Fn(&str) -> String,
) -> Statement {
    Statement::new(text(notify), parameters).with_fallback(text("NULL::text AS notified"))
}
