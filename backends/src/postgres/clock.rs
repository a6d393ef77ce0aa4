//! This module has the clock by which leases expire.

/// This expression reads the server's clock in microseconds since 1970. A statement evaluates it up
/// to nine times, so it computes with floating-point numbers, which are exact to a microsecond here;
/// since PostgreSQL 14, `extract` computes with slower decimal ones.
pub(super) const CLOCK: &str = "(date_part('epoch', clock_timestamp()) * 1000000)::bigint";
