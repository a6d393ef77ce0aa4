//! The keys of a namespace.
//!
//! All start with `/NAMESPACE/` and the name of a family; what follows is the lock's name, byte for
//! byte. Since no family's name begins another's, no two locks share a key.

use uuid::Uuid;

use crate::{LockName, Namespace};

/// Where instances make themselves known: no family of locks, and not watched with them.
const INSTANCE: &str = "instance/";

/// What is kept under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// The id of the lease in force, as text. Attached to the etcd lease, as the next two are.
    Lease,
    /// Who holds it, and since when, as JSON.
    Holder,
    /// Why its holder is to stop, as text; only where it is to.
    Ending,
    /// Put by every grant: the revision of that is the token.
    Granted,
    /// Why the name is disabled, by whom and since when, as JSON; only while it is.
    Disabled,
}

impl Family {
    pub(super) const ALL: [Self; 5] =
        [Self::Lease, Self::Holder, Self::Ending, Self::Granted, Self::Disabled];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Lease => "lease/",
            Self::Holder => "holder/",
            Self::Ending => "ending/",
            Self::Granted => "granted/",
            Self::Disabled => "disabled/",
        }
    }
}

/// The start of all keys of a namespace.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    root: String,
}

impl Keys {
    /// Below `path`, which is empty or starts with a slash and does not end with one.
    pub(super) fn new(path: &str, namespace: &Namespace) -> Self {
        Self { root: format!("{path}/{namespace}/") }
    }

    pub(super) fn root(&self) -> &str {
        &self.root
    }

    pub(super) fn key(&self, family: Family, name: &LockName) -> Vec<u8> {
        self.start(family, name.as_str())
    }

    /// The key at which names of that family start that are `from` or greater.
    pub(super) fn start(&self, family: Family, from: &str) -> Vec<u8> {
        [self.root.as_str(), family.as_str(), from].concat().into_bytes()
    }

    /// Returns the key at which the names of a family start that sort after the given one, whatever
    /// bytes that has.
    pub(super) fn range_after(&self, family: Family, name: &[u8]) -> Vec<u8> {
        // The first key after a name is the name with a NUL appended, which no name contains.
        [self.root.as_bytes(), family.as_str().as_bytes(), name, b"\0"].concat()
    }

    /// Returns the bytes of the name in a key of that family.
    pub(super) fn name_in<'k>(&self, family: Family, key: &'k [u8]) -> Option<&'k [u8]> {
        key.strip_prefix(self.root.as_bytes())?.strip_prefix(family.as_str().as_bytes())
    }

    /// The first key behind all of the family whose names start with `prefix`.
    pub(super) fn end(&self, family: Family, prefix: &str) -> Vec<u8> {
        after(self.start(family, prefix))
    }

    /// The key of that instance.
    pub(super) fn instance(&self, instance: Uuid) -> Vec<u8> {
        format!("{}{INSTANCE}{instance}", self.root).into_bytes()
    }

    /// From the first to behind the last key of all instances.
    pub(super) fn instances(&self) -> (Vec<u8>, Vec<u8>) {
        let start = format!("{}{INSTANCE}", self.root).into_bytes();
        let end = after(start.clone());
        (start, end)
    }

    /// Which family's and whose key it is; none for what Leasehold never writes.
    pub(super) fn parse<'k>(&self, key: &'k [u8]) -> Option<(Family, &'k str)> {
        let rest = key.strip_prefix(self.root.as_bytes())?;
        let family = Family::ALL.into_iter().find(|f| rest.starts_with(f.as_str().as_bytes()))?;
        let name = std::str::from_utf8(&rest[family.as_str().len()..]).ok()?;
        Some((family, name))
    }
}

/// The first key behind all that begin so.
fn after(mut prefix: Vec<u8>) -> Vec<u8> {
    // Ends at a slash of ours at the latest, which is no 0xff.
    while prefix.last() == Some(&0xff) {
        prefix.pop();
    }
    if let Some(last) = prefix.last_mut() {
        *last += 1;
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys_map_one_to_one() {
        let keys = Keys::new("", &Namespace::new("a").unwrap());
        for name in ["a", "lease/a", "/", "á", "held/", "disabled/x"] {
            let name = LockName::new(name).unwrap();
            for family in Family::ALL {
                let key = keys.key(family, &name);
                assert_eq!(keys.parse(&key), Some((family, name.as_str())));
            }
        }
        assert_eq!(keys.parse(b"/a/other/x"), None);
        assert_eq!(keys.parse(b"/ab/lease/x"), None);
    }

    #[test]
    fn instance_keys_are_separate_from_lock_keys() {
        let keys = Keys::new("/p", &Namespace::new("a").unwrap());
        let instance = Uuid::from_u128(0xab);
        let key = keys.instance(instance);
        assert_eq!(key, b"/p/a/instance/00000000-0000-0000-0000-0000000000ab");
        assert_eq!(keys.parse(&key), None);
        let (start, end) = keys.instances();
        assert!(start < key && key < end);
        for family in Family::ALL {
            assert!(key < keys.start(family, "") || key >= keys.end(family, ""));
        }
    }

    #[test]
    fn a_prefix_range_ends_after_its_last_name() {
        let keys = Keys::new("", &Namespace::new("a").unwrap());
        assert_eq!(keys.end(Family::Lease, ""), b"/a/lease0");
        assert_eq!(keys.end(Family::Lease, "b"), b"/a/lease/c");
        let end = keys.end(Family::Lease, "\u{10ffff}");
        assert!(end > keys.start(Family::Lease, "\u{10ffff}\u{10ffff}"));
    }
}
