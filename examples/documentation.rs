//! The examples in the pages are compiled as documentation tests: `cargo test --doc --package
//! leasehold-examples --all-features`.
//!
//! The pages of the backends on servers and of SQLite are documentation of the modules of
//! `leasehold`, whose tests compile their examples. The page of the memory store is documentation of
//! `leasehold_core`, whose tests cannot use `leasehold`.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

#[cfg(doctest)]
#[doc = include_str!("../core/docs/memory.md")]
mod core_docs_memory {}

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
