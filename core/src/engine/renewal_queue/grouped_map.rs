//! A map by moment and number, in which entries that were added one after the other share a group.

use std::collections::{BTreeMap, VecDeque};
use std::iter;

use crate::Moment;

/// A grouped map is ordered by the moments and the numbers of its entries.
///
/// When a batch was answered, the next renewals of its leases are requested one after the other, and
/// mostly for the same times. Such entries share a group. So very many leases need only a few steps
/// in the tree for each batch, and a few bytes for each lease.
///
/// A batch is answered in the order of names. Where the times of its leases alternate in that
/// order, for example because they have two ttls, each group has one entry. Then each lease costs
/// steps in the tree of its own, and 150 bytes or more.
pub(super) struct GroupedMap<S, T> {
    /// The key of a group is the moment of its entries, and the number of the first one.
    groups: BTreeMap<GroupKey, Group<S, T>>,
    /// The groups have this many entries.
    len: usize,
}

/// The entries of a group have this moment, and this number and the following ones.
pub(super) type GroupKey = (Moment, u64);

/// The entries of a group have the same moment, consecutive numbers and a shared value.
pub(super) struct Group<S, T> {
    pub(super) shared: S,
    /// A removed entry leaves a gap.
    entries: VecDeque<Option<T>>,
    /// This many entries were not removed. A group without any is not kept.
    len: usize,
}

impl<S: Copy + Eq, T> GroupedMap<S, T> {
    /// Returns the number of entries.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the moment of the first entry.
    pub(super) fn first_at(&self) -> Option<Moment> {
        self.groups.first_key_value().map(|((at, _), _)| *at)
    }

    /// Returns the shared value of the first entry, and of every `step`th one after it.
    pub(super) fn shared_of_every(&self, step: usize) -> impl Iterator<Item = &S> {
        let groups = self.groups.values();
        groups.flat_map(|group| iter::repeat_n(&group.shared, group.len)).step_by(step)
    }

    /// Adds an entry, and returns the one that it replaces.
    ///
    /// The number must not be among those of a group with another shared value: the entry would
    /// hide the later ones of that group.
    pub(super) fn insert(&mut self, at: Moment, number: u64, shared: S, entry: T) -> Option<T> {
        if let Some((first, group)) = self.group_before(at, number) {
            let index = index_of(first, number);
            if group.shared == shared && index <= group.entries.len() {
                if index == group.entries.len() {
                    group.entries.push_back(None);
                }
                let replaced = group.entries[index].replace(entry);
                if replaced.is_none() {
                    group.len += 1;
                    self.len += 1;
                }
                return replaced;
            }
            debug_assert!(index >= group.entries.len(), "an entry would split a group");
        }
        let entries = VecDeque::from([Some(entry)]);
        self.insert_group((at, number), Group { shared, entries, len: 1 });
        None
    }

    /// Adds a group whose entries are not in the map.
    pub(super) fn insert_group(&mut self, key: GroupKey, group: Group<S, T>) {
        self.len += group.len;
        self.groups.insert(key, group);
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, at: Moment, number: u64) -> Option<T> {
        let (first, group) = self.group_before(at, number)?;
        let removed = group.entries.get_mut(index_of(first, number))?.take()?;
        group.len -= 1;
        if group.len == 0 {
            self.groups.remove(&(at, first));
        }
        self.len -= 1;
        Some(removed)
    }

    /// Removes the first group, or only its first entries if it has more than `most`.
    pub(super) fn take_first(&mut self, most: usize) -> Option<(GroupKey, Group<S, T>)> {
        let ((at, first), mut group) = self.groups.pop_first()?;
        let mut entries = group.entries.iter().enumerate().filter(|(_, entry)| entry.is_some());
        let end = entries.nth(most).map(|(index, _)| index);
        if let Some(end) = end {
            let entries = group.entries.drain(..end).collect();
            let taken = Group { shared: group.shared, entries, len: most };
            group.len -= most;
            self.groups.insert((at, first + end as u64), group);
            group = taken;
        }
        self.len -= group.len;
        Some(((at, first), group))
    }

    /// Removes the groups whose shared value passes the test.
    pub(super) fn extract_groups(
        &mut self,
        test: impl Fn(&S) -> bool,
    ) -> impl Iterator<Item = (GroupKey, Group<S, T>)> {
        let Self { groups, len } = self;
        let extracted = groups.extract_if(.., move |_, group| test(&group.shared));
        extracted.inspect(move |(_, group)| *len -= group.len)
    }

    /// Returns the group that has the entry, or may be continued by it, and its first number.
    fn group_before(&mut self, at: Moment, number: u64) -> Option<(u64, &mut Group<S, T>)> {
        let (&(moment, first), group) = self.groups.range_mut(..=(at, number)).next_back()?;
        (moment == at).then_some((first, group))
    }
}

impl<S, T> Group<S, T> {
    /// Returns the entries with their numbers.
    pub(super) fn entries(&self, (_, first): GroupKey) -> impl Iterator<Item = (u64, &T)> {
        let numbered = (first..).zip(&self.entries);
        numbered.filter_map(|(number, entry)| Some((number, entry.as_ref()?)))
    }

    /// Returns the entries with their numbers.
    pub(super) fn into_entries(self, (_, first): GroupKey) -> impl Iterator<Item = (u64, T)> {
        (first..).zip(self.entries).filter_map(|(number, entry)| Some((number, entry?)))
    }
}

/// Returns the index of an entry in the group that begins with the number `first`.
fn index_of(first: u64, number: u64) -> usize {
    usize::try_from(number - first).unwrap_or(usize::MAX)
}

impl<S, T> Default for GroupedMap<S, T> {
    fn default() -> Self {
        Self { groups: BTreeMap::new(), len: 0 }
    }
}

#[cfg(test)]
mod tests;
