//! This module defines SQLite as a backend of the suite, in files of a temporary folder.

mod backend;
mod cancel;
mod connections;
mod containers;
mod damage;
mod files;
mod leases;
mod queue_schema;
mod queues;
mod replaced;
mod schema;
mod schema_versions;
mod specific;
mod support;
mod watches;

pub(crate) use backend::Sqlite;
pub(crate) use specific::CASES;
