//! This module defines MongoDB as a backend of the suite, in a container or given by
//! `LEASEHOLD_TEST_MONGODB_URL`.

mod backend;
mod endpoint;
mod probes;
mod specific;

pub(crate) use backend::MongoDb;
pub(crate) use specific::CASES;
