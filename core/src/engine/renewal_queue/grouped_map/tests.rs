//! These tests cover which entries share a group, and the order in which they are taken.

use super::*;

type Map = GroupedMap<char, u64>;

impl<S, T> GroupedMap<S, T> {
    /// Returns the number of groups.
    pub(in crate::engine) fn group_count(&self) -> usize {
        self.groups.len()
    }
}

fn at(secs: u64) -> Moment {
    Moment::from_secs(secs)
}

/// Takes the entries in order, in parts of at most that many.
fn take_all(map: &mut Map, most: usize) -> Vec<Vec<(u64, char, u64)>> {
    let mut parts = Vec::new();
    while let Some((key, group)) = map.take_first(most) {
        let shared = group.shared;
        parts
            .push(group.into_entries(key).map(|(number, entry)| (number, shared, entry)).collect());
    }
    assert_eq!((map.len(), map.first_at()), (0, None));
    parts
}

/// Each batch needs a few steps, and not each of its leases.
#[test]
fn entries_with_the_same_moment_and_shared_value_are_one_group() {
    let mut map = Map::default();
    for number in 1..=200 {
        assert_eq!(map.insert(at(1), number, 'a', number), None);
    }
    assert_eq!((map.group_count(), map.len()), (1, 200));
    map.insert(at(2), 201, 'a', 201);
    map.insert(at(2), 202, 'b', 202);
    // Number 203 belongs to another moment.
    map.insert(at(2), 204, 'b', 204);
    assert_eq!((map.group_count(), map.len()), (4, 203));
    assert_eq!(map.first_at(), Some(at(1)));
}

#[test]
fn entries_are_taken_in_the_order_of_moments_and_numbers() {
    let mut map = Map::default();
    for (secs, number, shared) in [(2, 1, 'a'), (2, 2, 'a'), (1, 3, 'a'), (1, 4, 'b'), (1, 5, 'b')]
    {
        map.insert(at(secs), number, shared, number * 10);
    }
    let expected =
        [vec![(3, 'a', 30)], vec![(4, 'b', 40), (5, 'b', 50)], vec![(1, 'a', 10), (2, 'a', 20)]];
    assert_eq!(take_all(&mut map, 10), expected);
}

#[test]
fn a_part_of_a_group_is_taken_and_the_rest_stays() {
    let mut map = Map::default();
    for number in 1..=7 {
        map.insert(at(1), number, 'a', number);
    }
    for removed in [2, 4, 7] {
        assert_eq!(map.remove(at(1), removed), Some(removed));
        assert_eq!(map.remove(at(1), removed), None);
    }
    let (key, group) = map.take_first(2).unwrap();
    let taken: Vec<_> = group.entries(key).collect();
    assert_eq!(taken, [(1, &1), (3, &3)]);
    assert_eq!(map.len(), 2);
    assert_eq!(map.remove(at(1), 3), None, "it was taken");
    assert_eq!(map.remove(at(1), 5), Some(5));
    assert_eq!(take_all(&mut map, 2), [[(6, 'a', 6)]]);
}

#[test]
fn a_group_without_entries_is_removed() {
    let mut map = Map::default();
    for number in [1, 2] {
        map.insert(at(1), number, 'a', number);
        map.insert(at(2), number, 'a', number);
    }
    assert_eq!(map.remove(at(1), 3), None);
    assert_eq!(map.remove(at(3), 1), None);
    assert_eq!([1, 2].map(|number| map.remove(at(1), number)), [Some(1), Some(2)]);
    assert_eq!((map.group_count(), map.len(), map.first_at()), (1, 2, Some(at(2))));
}

#[test]
fn an_entry_is_replaced_or_comes_back() {
    let mut map = Map::default();
    for number in 1..=3 {
        map.insert(at(1), number, 'a', number);
    }
    assert_eq!(map.insert(at(1), 2, 'a', 20), Some(2));
    assert_eq!(map.remove(at(1), 2), Some(20));
    assert_eq!(map.insert(at(1), 2, 'a', 200), None);
    assert_eq!((map.group_count(), map.len()), (1, 3));
    assert_eq!(take_all(&mut map, 10), [[(1, 'a', 1), (2, 'a', 200), (3, 'a', 3)]]);
}

/// A tick may be planned again with an earlier number.
#[test]
fn an_entry_before_a_group_of_the_same_moment_is_found() {
    let mut map = Map::default();
    for (number, shared) in [(7, 'a'), (6, 'b'), (3, 'a'), (4, 'a')] {
        assert_eq!(map.insert(at(1), number, shared, number), None);
    }
    assert_eq!((map.group_count(), map.len()), (3, 4));
    assert_eq!(map.remove(at(1), 6), Some(6));
    assert_eq!(map.insert(at(1), 6, 'a', 60), None);
    let expected = [vec![(3, 'a', 3), (4, 'a', 4)], vec![(6, 'a', 60)], vec![(7, 'a', 7)]];
    assert_eq!(take_all(&mut map, 10), expected);
}

#[test]
fn a_group_is_continued_after_its_last_entry_was_removed() {
    let mut map = Map::default();
    for number in 1..=3 {
        map.insert(at(1), number, 'a', number);
    }
    assert_eq!(map.remove(at(1), 3), Some(3));
    assert_eq!(map.insert(at(1), 4, 'a', 4), None);
    assert_eq!((map.group_count(), map.len()), (1, 3));
    assert_eq!(map.insert(at(1), 5, 'b', 5), None);
    let expected = [vec![(1, 'a', 1), (2, 'a', 2), (4, 'a', 4)], vec![(5, 'b', 5)]];
    assert_eq!(take_all(&mut map, 10), expected);
}

#[test]
fn a_part_of_a_group_whose_first_entries_were_removed_is_taken() {
    let mut map = Map::default();
    for number in 1..=5 {
        map.insert(at(1), number, 'a', number);
    }
    for removed in [1, 2] {
        assert_eq!(map.remove(at(1), removed), Some(removed));
    }
    let (key, group) = map.take_first(2).unwrap();
    let taken: Vec<_> = group.into_entries(key).collect();
    assert_eq!(taken, [(3, 3), (4, 4)]);
    assert_eq!((map.group_count(), map.len(), map.first_at()), (1, 1, Some(at(1))));
    assert_eq!(map.insert(at(1), 6, 'a', 6), None);
    assert_eq!(map.remove(at(1), 5), Some(5));
    assert_eq!(take_all(&mut map, 2), [[(6, 'a', 6)]]);
}

#[cfg(debug_assertions)]
#[test]
#[should_panic(expected = "an entry would split a group")]
fn an_entry_within_a_group_with_another_shared_value_is_refused() {
    let mut map = Map::default();
    for number in 1..=3 {
        map.insert(at(1), number, 'a', number);
    }
    map.insert(at(1), 2, 'b', 20);
}

#[test]
fn groups_move_to_another_map() {
    let (mut from, mut to) = (Map::default(), Map::default());
    for (number, shared) in [(1, 'a'), (2, 'a'), (3, 'b'), (4, 'a')] {
        from.insert(at(1), number, shared, number);
    }
    from.remove(at(1), 1);
    for (key, group) in from.extract_groups(|shared| *shared == 'a') {
        to.insert_group((at(5), key.1), group);
    }
    assert_eq!((from.len(), to.len()), (1, 2));
    assert_eq!(to.remove(at(5), 4), Some(4));
    assert_eq!(take_all(&mut to, 10), [[(2, 'a', 2)]]);
    assert_eq!(take_all(&mut from, 10), [[(3, 'b', 3)]]);
}

#[test]
fn the_shared_value_of_every_batch_is_found() {
    let mut map = Map::default();
    // The removed entry is not counted.
    for (number, shared) in (1..).zip("aaabcccc".chars()) {
        map.insert(at(1), number, shared, number);
    }
    map.remove(at(1), 1);
    let every = |step| map.shared_of_every(step).copied().collect::<String>();
    assert_eq!(every(1), "aabcccc");
    assert_eq!(every(2), "abcc");
    assert_eq!(every(3), "acc");
    assert_eq!(every(10), "a");
}
