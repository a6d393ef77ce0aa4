//! This module defines MySQL and MariaDB as backends of the suite, each in a container or given by
//! URL.

mod calls;
mod connect_errors;
mod damage;
mod databases;
mod dialect;
mod fence;
mod found_rows_flag;
mod queue_schema;
mod queues;
mod rows;
mod schema;
mod session_loss;
mod specific;
mod support;
mod switch_over;
mod tls;
mod tunnel;
mod user_locks;
mod waiter;

use leasehold_conformance::{CaseResult, Failure};
use leasehold_core::Namespace;
use sqlx::AssertSqlSafe;

use crate::sql::{SqlBackend, options};

use dialect::{MySqlDialect, pool, ready, start};
pub(crate) use specific::CASES;

/// This is a server of MySQL or MariaDB.
pub(crate) type MySql = SqlBackend<MySqlDialect>;

impl MySql {
    /// Ignores the case if it cannot start its own servers.
    fn may_start_servers(&self) -> CaseResult {
        match self.image.given_url() {
            None => Ok(()),
            Some(_) => Err(Failure::ignored("a server given by URL is not started or stopped")),
        }
    }

    /// Returns the table of the server's sessions. MySQL fails to read the one in
    /// `information_schema` while a statement of any session has a character beyond utf8mb3, and
    /// MariaDB has no other one.
    fn process_list(&self) -> &'static str {
        match self.image.name {
            "mysql" => "performance_schema.processlist",
            _ => "information_schema.processlist",
        }
    }

    /// Returns the sessions of that user, and what each of them does.
    async fn sessions(&self, user: &Namespace) -> CaseResult<Vec<(i64, String)>> {
        let query = format!(
            "SELECT CAST(id AS SIGNED), CAST(COALESCE(info, '') AS CHAR) FROM {} WHERE user = ?",
            self.process_list()
        );
        let sessions = sqlx::query_as(AssertSqlSafe(query)).bind(user.as_str());
        Ok(sessions.fetch_all(self.admin()).await?)
    }
}
