//! This target runs the conformance suite on the stores of this repository.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

/// Lists the cases that are specific to one datastore, by the modules that define them. Each case
/// is a function that is given the backend.
macro_rules! specific_cases {
    ($backend:ty; $($module:ident: $($case:ident),+;)+) => {
        /// These are the cases, each with its name.
        pub(crate) const CASES: &[leasehold_conformance::OwnCase<$backend>] = &[
            $($((
                concat!("specific::", stringify!($case)),
                |backend| Box::pin($module::$case(backend)),
            )),+),+
        ];
    };
}

mod abandoned;
mod broken;
mod etcd;
mod fake_server;
mod files;
mod kept;
mod lost_release;
mod memory;
mod mongodb;
mod mysql;
mod postgres;
mod proxied_link;
mod redis;
mod server_container;
mod sql;
mod sqlite;
mod stopped_clock;

use std::process::ExitCode;

use leasehold_conformance::{Backend, OwnCase, Suite};
use leasehold_test_servers::{catalog, skipped};

fn main() -> ExitCode {
    let suite = Suite::new().backend(memory::Memory::default());
    let suite = suite.backend_with_cases(sqlite::Sqlite::default(), sqlite::CASES);
    let suite = on_server(suite, postgres::Postgres::of(&catalog::POSTGRES), postgres::CASES);
    let suite = on_server(suite, mysql::MySql::of(&catalog::MYSQL), mysql::CASES);
    let suite = on_server(suite, mysql::MySql::of(&catalog::MARIADB), mysql::CASES);
    let suite = on_server(suite, redis::Redis::of(&catalog::REDIS), redis::CASES);
    let suite = on_server(suite, redis::Redis::of(&catalog::VALKEY), redis::CASES);
    let suite = on_server(suite, mongodb::MongoDb::default(), mongodb::CASES);
    on_server(suite, etcd::Etcd::default(), etcd::CASES).main()
}

/// Adds the backend of a server, unless it is to be skipped.
fn on_server<B: Backend>(suite: Suite, backend: B, own: &[OwnCase<B>]) -> Suite {
    if skipped(backend.name()) { suite } else { suite.backend_with_cases(backend, own) }
}
