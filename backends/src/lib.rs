//! Leasehold.
pub use leasehold_core::*;
