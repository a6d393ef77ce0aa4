//! The keys of a namespace.
//!
//! Each starts with `/NAMESPACE/` and the name of a family, followed by the lock's name, byte for
//! byte. No family's name is a prefix of another's, so no two locks share a key. The key of an entry
//! continues with a NUL, which no name contains, and the entry's lease id.

use uuid::Uuid;

use crate::{LeaseId, LockName, Namespace};

/// Instances are announced under these keys, which are not watched with those of locks.
const INSTANCE: &str = "instance/";

/// The kind of value that is stored under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// The id of the lease in force, as text. It is attached to the etcd lease, as are the next
    /// two.
    Lease,
    /// The holder, and since when it holds the lock, as JSON.
    Holder,
    /// The reason why the holder must stop, as text. It is absent if the holder need not stop.
    Ending,
    /// Every grant puts this key, and the revision of the put is the token.
    Granted,
    /// The reason why the name is disabled, by whom and since when, as JSON, while it is disabled.
    Disabled,
    /// An entry of the name's queue, as JSON. It is attached to an etcd lease of its own, and the
    /// revision in which it was created is its token.
    Entry,
    /// The reason of the latest disable during which the queue had entries, as text. The entries
    /// that were created before it have to leave.
    LeaveReason,
}

/// Separates the name from the lease id in the key of an entry.
const NUL: u8 = 0;

impl Family {
    pub(super) const ALL: [Self; 7] = [
        Self::Lease,
        Self::Holder,
        Self::Ending,
        Self::Granted,
        Self::Disabled,
        Self::Entry,
        Self::LeaveReason,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Lease => "lease/",
            Self::Holder => "holder/",
            Self::Ending => "ending/",
            Self::Granted => "granted/",
            Self::Disabled => "disabled/",
            Self::Entry => "entry/",
            Self::LeaveReason => "leave-reason/",
        }
    }
}

/// The start of all keys of a namespace.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    root: String,
}

impl Keys {
    /// Creates the keys below `path`, which is empty or starts with a slash and does not end with
    /// one.
    pub(super) fn new(path: &str, namespace: &Namespace) -> Self {
        Self { root: format!("{path}/{namespace}/") }
    }

    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// Returns the key of a name in a family, of which each name has one key.
    pub(super) fn key(&self, family: Family, name: &LockName) -> Vec<u8> {
        self.start(family, name.as_str())
    }

    /// Returns the key of an entry.
    pub(super) fn entry(&self, name: &LockName, lease: LeaseId) -> Vec<u8> {
        let mut key = self.entries(name).0;
        key.extend_from_slice(lease.to_string().as_bytes());
        key
    }

    /// Returns the range of the keys of all entries of a name.
    pub(super) fn entries(&self, name: &LockName) -> (Vec<u8>, Vec<u8>) {
        let mut start = self.key(Family::Entry, name);
        start.push(NUL);
        let end = after(start.clone());
        (start, end)
    }

    /// Returns the first key of the family for the name `from` and greater ones.
    pub(super) fn start(&self, family: Family, from: &str) -> Vec<u8> {
        [self.root.as_str(), family.as_str(), from].concat().into_bytes()
    }

    /// Returns the range of the keys of a family whose names start with `prefix` and sort after the
    /// name `after`, which may have any bytes.
    pub(super) fn range(
        &self,
        family: Family,
        prefix: &str,
        after: Option<&[u8]>,
    ) -> (Vec<u8>, Vec<u8>) {
        let mut start = self.start(family, prefix);
        if let Some(name) = after {
            // The first key after a name is the name with a NUL appended, which no name contains.
            // The keys of entries have one there, so their range begins after all of these.
            let next: &[u8] = if family == Family::Entry { b"\x01" } else { b"\0" };
            let next = [self.root.as_bytes(), family.as_str().as_bytes(), name, next].concat();
            start = start.max(next);
        }
        // The range is empty if `after` is greater than all names with the prefix.
        let end = self.end(family, prefix).max(start.clone());
        (start, end)
    }

    /// Returns the bytes of the name in a key of that family.
    pub(super) fn name_in<'k>(&self, family: Family, key: &'k [u8]) -> Option<&'k [u8]> {
        let rest = key.strip_prefix(self.root.as_bytes())?;
        let rest = rest.strip_prefix(family.as_str().as_bytes())?;
        match family {
            Family::Entry => rest.split(|byte| *byte == NUL).next(),
            _ => Some(rest),
        }
    }

    /// Returns the first key after all keys of the family whose names start with `prefix`.
    pub(super) fn end(&self, family: Family, prefix: &str) -> Vec<u8> {
        after(self.start(family, prefix))
    }

    /// Returns the key of that instance.
    pub(super) fn instance(&self, instance: Uuid) -> Vec<u8> {
        format!("{}{INSTANCE}{instance}", self.root).into_bytes()
    }

    /// Returns the id of an instance from its key, or the text in its place.
    pub(super) fn instance_in(&self, key: &[u8]) -> String {
        let id = key.strip_prefix(self.root.as_bytes());
        let id = id.and_then(|id| id.strip_prefix(INSTANCE.as_bytes())).unwrap_or(key);
        String::from_utf8_lossy(id).into_owned()
    }

    /// Returns the range of the keys of all instances.
    pub(super) fn instances(&self) -> (Vec<u8>, Vec<u8>) {
        let start = format!("{}{INSTANCE}", self.root).into_bytes();
        let end = after(start.clone());
        (start, end)
    }

    /// Returns the family of a key and the name in it; `None` for a key that Leasehold never
    /// writes.
    pub(super) fn parse<'k>(&self, key: &'k [u8]) -> Option<(Family, &'k str)> {
        let rest = key.strip_prefix(self.root.as_bytes())?;
        let family = Family::ALL.into_iter().find(|f| rest.starts_with(f.as_str().as_bytes()))?;
        let mut name = &rest[family.as_str().len()..];
        if family == Family::Entry {
            // What follows is checked when the entry is read.
            name = &name[..name.iter().position(|byte| *byte == NUL)?];
        }
        Some((family, std::str::from_utf8(name).ok()?))
    }
}

/// Returns the first key after all that begin with `prefix`.
fn after(mut prefix: Vec<u8>) -> Vec<u8> {
    // The prefix contains a slash, which is not 0xff, so the loop ends there at the latest.
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
            let lease = LeaseId::new();
            for family in Family::ALL {
                let key = match family {
                    Family::Entry => keys.entry(&name, lease),
                    _ => keys.key(family, &name),
                };
                assert_eq!(keys.parse(&key), Some((family, name.as_str())));
                assert_eq!(keys.name_in(family, &key), Some(name.as_str().as_bytes()));
            }
        }
        assert_eq!(keys.parse(b"/a/entry/x"), None, "an entry has a lease");
        assert_eq!(keys.parse(b"/a/entry/x\0\xff"), Some((Family::Entry, "x")));
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
        assert_eq!(keys.instance_in(&key), instance.to_string());
        assert_eq!(
            keys.instance_in(&[&key[..], b"/x\xff"].concat()),
            format!("{instance}/x\u{fffd}")
        );
        for family in Family::ALL {
            assert!(key < keys.start(family, "") || key >= keys.end(family, ""));
        }
    }

    #[test]
    fn a_range_starts_after_a_name_whatever_its_bytes() {
        let keys = Keys::new("", &Namespace::new("a").unwrap());
        let range = |prefix: &str, after: Option<&[u8]>| keys.range(Family::Lease, prefix, after);
        assert_eq!(range("b", None), (b"/a/lease/b".to_vec(), b"/a/lease/c".to_vec()));
        assert_eq!(range("b", Some(b"a")), range("b", None));
        let (start, end) = range("b", Some(b"b\xff"));
        assert_eq!((start, end), (b"/a/lease/b\xff\0".to_vec(), b"/a/lease/c".to_vec()));
        let (start, end) = range("b", Some(b"d"));
        assert_eq!(start, end, "no name that sorts after the prefix starts with it");
    }

    #[test]
    fn the_entries_of_a_name_are_a_range_of_their_own() {
        let keys = Keys::new("", &Namespace::new("a").unwrap());
        let name = |name: &str| LockName::new(name).unwrap();
        let (start, end) = keys.entries(&name("x"));
        assert!(start < keys.entry(&name("x"), LeaseId::new()));
        assert!(keys.entry(&name("x"), LeaseId::new()) < end);
        for other in ["x ", "x/", "x\u{1}", "xx", "w", "x\u{1}\u{1}", "X", "x/x"] {
            let key = keys.entry(&name(other), LeaseId::new());
            assert!(key < start || key >= end, "{other:?}");
        }
        // The next page of a list begins after all entries of the last name.
        let (next, _) = keys.range(Family::Entry, "", Some(b"x"));
        assert_eq!(next, end);
        assert!(keys.entry(&name("x\u{1}"), LeaseId::new()) >= next);
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
