//! These statements send a hint, and must not fail because of it.
//!
//! A notification is sent within the statement's transaction and can make its commit fail when the
//! server's queue is full. Any session that listens and stays in a transaction can cause that. So
//! these statements have a second form without the hint.

use crate::sql::statement::{Parameter, Statement};

/// Creates both forms from the text of a statement; `text` receives the expression for the column
/// `notified` of the row `l`.
pub(super) fn notifying(
    channel: &str,
    parameters: &'static [Parameter],
    text: impl Fn(&str) -> String,
) -> Statement {
    let with_notify = text(&format!("pg_notify('{channel}', l.name)::text AS notified"));
    Statement::new(with_notify, parameters).with_fallback(text("NULL::text AS notified"))
}
