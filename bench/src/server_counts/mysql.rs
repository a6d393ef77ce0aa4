//! MySQL and MariaDB count statements as `Questions`, which has neither pings nor preparations.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use async_trait::async_trait;
use sqlx::mysql::MySqlConnection;
use sqlx::{Connection, Row};
use tokio::sync::Mutex;

use super::counts::{Counts, CountsReader};

const COUNTS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN \
     ('Questions', 'Connections', 'Threads_connected')";

pub(super) struct MySql {
    connection: Mutex<MySqlConnection>,
    /// The server counts the readings too.
    readings: AtomicU64,
}

pub(super) async fn open(url: &str) -> Result<MySql> {
    let connection = Mutex::new(MySqlConnection::connect(url).await?);
    Ok(MySql { connection, readings: AtomicU64::new(0) })
}

#[async_trait]
impl CountsReader for MySql {
    async fn read(&self) -> Result<Counts> {
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query(COUNTS).fetch_all(&mut *connection).await?;
        let readings = self.readings.fetch_add(1, Ordering::Relaxed) + 1;
        let value = |name: &str| -> Result<f64> {
            for row in &rows {
                // Servers differ in the character set of this answer, so the type is not checked.
                let found: String = row.try_get_unchecked(0)?;
                if found.eq_ignore_ascii_case(name) {
                    let value: String = row.try_get_unchecked(1)?;
                    return value.parse::<f64>().with_context(|| format!("{name} is not a number"));
                }
            }
            anyhow::bail!("the server does not count {name}")
        };
        Ok(Counts {
            calls: value("Questions")? - readings as f64,
            writes: None,
            opened: Some(value("Connections")?),
            open: Some(value("Threads_connected")? - 1.0),
        })
    }
}
