//! These are the statements on the table of instances.

use super::clock::{MAX_INSTANCE_TTL, TOLERANCE};
use crate::sql::statement::Parameter::{Boot, Instance, Presence, Ttl, Uptime};
use crate::sql::statement::{InstanceStatements, Statement};

pub(super) fn instance_statements(table: String) -> InstanceStatements {
    InstanceStatements {
        announce: Statement::new(
            format!(
                "INSERT INTO {table} (instance, presence, boot, expires_at) \
                 VALUES (?1, ?2, ?3, ?4 + ?5) ON CONFLICT (instance) DO UPDATE SET \
                     presence = ?2, boot = ?3, expires_at = ?4 + ?5"
            ),
            &[Instance, Presence, Boot, Uptime, Ttl],
        ),
        sweep: Statement::new(
            format!(
                "DELETE FROM {table} WHERE expires_at <= ?2 \
                     OR (boot <> ?1 AND expires_at - ?2 > {MAX_INSTANCE_TTL} + {TOLERANCE})"
            ),
            &[Boot, Uptime],
        ),
        withdraw: Statement::new(format!("DELETE FROM {table} WHERE instance = ?1"), &[Instance]),
        list: Statement::new(
            format!("SELECT instance, presence, boot, expires_at FROM {table} ORDER BY instance"),
            &[],
        ),
        table,
    }
}
