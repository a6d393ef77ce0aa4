//! What is particular to etcd.

use leasehold_conformance::OwnCase;

use super::Etcd;

/// Cases of etcd alone.
pub(crate) const OWN_CASES: &[OwnCase<Etcd>] = &[];
