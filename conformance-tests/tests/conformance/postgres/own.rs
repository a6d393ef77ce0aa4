//! What is particular to PostgreSQL.

use leasehold_conformance::OwnCase;

use super::{Postgres, opening, pooler, rows, trouble};

/// The cases, each with its name.
pub(crate) const CASES: &[OwnCase<Postgres>] = &[];
