//! Cases of MongoDB alone.

use leasehold_conformance::OwnCase;

use super::MongoDb;

pub(super) const CASES: &[OwnCase<MongoDb>] = &[];
