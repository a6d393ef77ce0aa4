//! The readers of this module, and its writers, for the fuzzer.

use std::time::Duration;

use etcd_client::KeyValue;

use super::keys::{Family, Keys};
use super::record;
use crate::{
    DisableOptions, Disablement, FencingToken, Holder, LeaseId, LockName, Namespace, Reason, Result,
};

/// What a key of each family says.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// The lease, and the etcd lease that it is attached to.
    Lease(LeaseId, i64),
    /// Who holds it, and since when.
    Holder(Holder, Duration),
    /// Why its holder is to stop.
    Ending(Reason),
    /// The token of the latest grant.
    Granted(FencingToken),
    /// Why the name is disabled.
    Disabled(Disablement),
}

/// What the key says, and of which name; none for one that is not of the namespace.
pub fn read<'k>(namespace: &Namespace, kv: &'k KeyValue) -> Option<(&'k str, Result<Read>)> {
    let (family, name) = Keys::new("", namespace).parse(kv.key())?;
    let read = match family {
        Family::Lease => record::lease(kv).map(|lease| Read::Lease(lease.id, lease.etcd_lease)),
        Family::Holder => record::holder(kv).map(|(holder, since)| Read::Holder(holder, since)),
        Family::Ending => record::ending(kv).map(Read::Ending),
        Family::Granted => record::token(kv).map(Read::Granted),
        Family::Disabled => record::disabled(kv).map(Read::Disabled),
    };
    Some((name, read))
}

/// The key of a name in each family, in the order of [`Read`].
pub fn keys(namespace: &Namespace, name: &LockName) -> [Vec<u8>; 5] {
    Family::ALL.map(|family| Keys::new("", namespace).key(family, name))
}

/// What is written of a holder.
pub fn holder(holder: &Holder) -> Vec<u8> {
    record::holder_value(holder)
}

/// What is written of a disable.
pub fn disabled(options: &DisableOptions) -> Vec<u8> {
    record::disabled_value(options)
}
