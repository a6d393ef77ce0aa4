//! The results of a run.

use serde::Serialize;

use crate::machine::Machine;
use crate::table::Table;

/// These are the results of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) version: &'static str,
    pub(crate) machine: Machine,
    pub(crate) slices: usize,
    pub(crate) servers: Vec<ServerResults>,
}

/// These are the results on one server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServerResults {
    pub(crate) name: String,
    pub(crate) tables: Vec<Table>,
}
