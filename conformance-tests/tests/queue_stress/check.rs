//! Checks the history of a name against the rule of queues: an entry holds the lock if the weights
//! of the live entries up to and including it sum up to at most the capacity.
//!
//! Each time in a history is certain: an entry was live and held the lock at least from and until
//! then. So each violation is one, however slow the machine was.

use std::collections::BTreeMap;

use crate::history::Entry;

/// Returns the violations in a history of that capacity, at most one of each kind. The entries are
/// in the order of their tokens.
pub(crate) fn violations(entries: &[Entry], capacity: u32) -> Vec<String> {
    let trusted = entries.iter().filter_map(|entry| {
        let (from, to) = entry.trusted?;
        Some((entry, from, to))
    });
    let granted = entries.iter().filter_map(|entry| Some((entry, entry.granted?, entry.until)));
    [
        over_capacity(trusted, capacity).map(|found| format!("clients trust too much: {found}")),
        over_capacity(granted, capacity)
            .map(|found| format!("the store granted too much: {found}")),
        falling_token(entries),
        out_of_order(entries, capacity),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Returns an entry by whose start those that hold the lock exceed the capacity.
fn over_capacity<'a>(
    holding: impl Iterator<Item = (&'a Entry, u64, u64)>,
    capacity: u32,
) -> Option<String> {
    let (mut holders, mut sum) = (BTreeMap::new(), 0);
    for edge in edges(holding) {
        let Edge { at, starts, entry } = edge;
        let weight = u64::from(entry.weight);
        if !starts {
            holders.remove(&entry.token);
            sum -= weight;
            continue;
        }
        holders.insert(entry.token, entry.weight);
        sum += weight;
        if sum > u64::from(capacity) {
            return Some(format!("{sum} of {capacity} at {at}, by token and weight {holders:?}"));
        }
    }
    None
}

/// Returns an entry that was asked for after another one had been made, and has a smaller token.
fn falling_token(entries: &[Entry]) -> Option<String> {
    let mut made: Vec<&Entry> = entries.iter().collect();
    let mut asked = made.clone();
    made.sort_by_key(|entry| entry.entered);
    asked.sort_by_key(|entry| entry.asked);
    let (mut made, mut largest) = (made.into_iter().peekable(), 0);
    for entry in asked {
        while let Some(before) = made.next_if(|before| before.entered < entry.asked) {
            largest = largest.max(before.token);
        }
        if entry.token < largest {
            let (token, at) = (entry.token, entry.asked);
            return Some(format!("token {token}, asked for at {at}, came after {largest}"));
        }
    }
    None
}

/// What is known of an entry at one moment.
#[derive(Clone, Copy, Default)]
struct EntryStanding {
    weight: u32,
    /// So many intervals show that the entry is live, and that it holds the lock.
    live: u32,
    holding: u32,
}

/// Returns an entry that holds the lock although too much of the capacity belongs to earlier live
/// entries, be it that they hold the lock or wait for it.
fn out_of_order(entries: &[Entry], capacity: u32) -> Option<String> {
    let mut intervals: Vec<(&Entry, u64, u64, bool)> = Vec::new();
    for entry in entries {
        intervals.push((entry, entry.entered, entry.until, false));
        intervals.extend(entry.granted.map(|granted| (entry, granted, entry.until, true)));
        intervals.extend(entry.trusted.map(|(from, to)| (entry, from, to, true)));
    }
    let waiting = intervals.iter().map(|(entry, from, to, _)| (*entry, *from, *to));
    let holding = intervals.iter().filter(|(.., holds)| *holds);
    let holding = holding.map(|(entry, from, to, _)| (*entry, *from, *to));
    let mut all: Vec<(Edge<'_>, bool)> =
        edges(waiting).into_iter().map(|edge| (edge, false)).collect();
    all.extend(edges(holding).into_iter().map(|edge| (edge, true)));
    all.sort_by_key(|(edge, _)| (edge.at, edge.starts));

    let mut queue: BTreeMap<u64, EntryStanding> = BTreeMap::new();
    for (Edge { at, starts, entry }, holds) in all {
        let standing = queue.entry(entry.token).or_default();
        standing.weight = entry.weight;
        let count = if holds { &mut standing.holding } else { &mut standing.live };
        if !starts {
            *count -= 1;
            if standing.live + standing.holding == 0 {
                queue.remove(&entry.token);
            }
            continue;
        }
        *count += 1;
        let mut sum = 0;
        for (token, standing) in &queue {
            sum += u64::from(standing.weight);
            if standing.holding > 0 && sum > u64::from(capacity) {
                let ahead = queue.range(..*token).map(|(token, ahead)| (*token, ahead.weight));
                let ahead: Vec<_> = ahead.collect();
                return Some(format!(
                    "token {token} of weight {} holds at {at} ahead of its turn; earlier live \
                     entries, by token and weight: {ahead:?}",
                    standing.weight
                ));
            }
        }
    }
    None
}

/// An interval of an entry starts or ends.
struct Edge<'a> {
    at: u64,
    starts: bool,
    entry: &'a Entry,
}

/// Returns the starts and the ends in their order. An interval that ends when another one starts
/// does not overlap it.
fn edges<'a>(intervals: impl Iterator<Item = (&'a Entry, u64, u64)>) -> Vec<Edge<'a>> {
    let edge = |at, starts, entry| Edge { at, starts, entry };
    let mut edges: Vec<_> = intervals
        .filter(|(_, from, to)| from < to)
        .flat_map(|(entry, from, to)| [edge(from, true, entry), edge(to, false, entry)])
        .collect();
    edges.sort_by_key(|edge| (edge.at, edge.starts));
    edges
}

#[cfg(test)]
mod tests;
