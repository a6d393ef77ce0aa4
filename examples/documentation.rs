//! Compiles the examples of the pages, as documentation tests: `cargo test --doc --package
//! leasehold-examples --all-features`.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

#[cfg(all(doctest, feature = "etcd"))]
#[doc = include_str!("../docs/backends/etcd.md")]
mod docs_backends_etcd {}

#[cfg(doctest)]
#[doc = include_str!("../docs/backends/memory.md")]
mod docs_backends_memory {}

#[cfg(all(doctest, feature = "mongodb"))]
#[doc = include_str!("../docs/backends/mongodb.md")]
mod docs_backends_mongodb {}

#[cfg(all(doctest, feature = "mysql"))]
#[doc = include_str!("../docs/backends/mysql.md")]
mod docs_backends_mysql {}

#[cfg(all(doctest, feature = "postgres"))]
#[doc = include_str!("../docs/backends/postgres.md")]
mod docs_backends_postgres {}

#[cfg(all(doctest, feature = "redis"))]
#[doc = include_str!("../docs/backends/redis.md")]
mod docs_backends_redis {}

#[cfg(doctest)]
#[doc = include_str!("../docs/backends/sqlite.md")]
mod docs_backends_sqlite {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/elections.md")]
mod docs_guide_elections {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/locks.md")]
mod docs_guide_locks {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/testing.md")]
mod docs_guide_testing {}

#[cfg(doctest)]
#[doc = include_str!("../backends/README.md")]
mod backends_readme {}
