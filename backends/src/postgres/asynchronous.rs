//! Releases and announcements are committed asynchronously: their commit waits neither for the disk
//! nor for a standby.
//!
//! A crash or a failover within the next second can lose one. A lost release costs at most what is
//! left of the lease, during which nobody holds the name, and the next announcement replaces a lost
//! one. Grants, renewals, disables and enables must never be lost, so their commits wait as the
//! server is configured. Such a commit writes everything before it too, so no grant survives without
//! the release that it followed.
//!
//! The setting is part of the statement itself, since each statement is a transaction: the commit
//! reads it, and the end of the transaction resets it, also behind a pooler.

use crate::sql::statement::{Parameter, Statement};

/// This expression makes the commit of its transaction asynchronous. In a statement that changes no
/// row, it is not evaluated.
pub(super) const ASYNCHRONOUS: &str =
    "set_config('synchronous_commit', 'off', true) AS synchronous_commit";

/// Creates a statement that is committed asynchronously, or as usual if the server refuses that;
/// `text` receives the expression for a column of the rows that the statement changes.
pub(super) fn asynchronous(
    parameters: &'static [Parameter],
    text: impl Fn(&str) -> String,
) -> Statement {
    Statement::new(text(ASYNCHRONOUS), parameters)
        .with_fallback(text("NULL::text AS synchronous_commit"))
}
