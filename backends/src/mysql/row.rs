//! This module reads MySQL's rows, in which names and text are bytes.

use sqlx::mysql::MySqlRow;

use crate::Result;
use crate::sql::CorruptRecord;
use crate::sql::row::{Columns, get, has, text_of_bytes};

impl Columns for MySqlRow {
    fn integer(&self, column: &'static str) -> Result<i64, CorruptRecord> {
        get(self, column)
    }

    fn optional_integer(&self, column: &'static str) -> Result<Option<i64>, CorruptRecord> {
        get(self, column)
    }

    fn text(&self, column: &'static str) -> Result<Option<String>, CorruptRecord> {
        text_of_bytes(self, column)
    }

    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, CorruptRecord> {
        get(self, column)
    }

    fn has(&self, column: &'static str) -> bool {
        has(self, column)
    }
}
