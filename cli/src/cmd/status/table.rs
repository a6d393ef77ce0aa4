//! The table shows locks in aligned columns.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use jiff::{SignedDuration, Timestamp};
use leasehold::{CurrentHolder, LockKind, LockState, QueueRecord, Reason};

use super::standbys::LockWithStandbys;
use crate::io::table::{Cell, columns, visible};

/// The most important columns come first, because a narrow terminal cuts the rest. The reason is
/// last, because a long one would widen all rows.
const HEADER: [&str; 9] =
    ["NAME", "STATE", "LEFT", "STANDBYS", "HOLDER", "KIND", "SINCE", "TOKEN", "REASON"];
const STATE: usize = 1;
const STANDBYS: usize = 3;
const NONE: &str = "-";

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const WARNING: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Returns the table with its header. A lock has a row, which shows its first holder; its other
/// holders and those that wait have rows below it.
pub(super) fn table(locks: &[LockWithStandbys], coloured: bool) -> String {
    let mut rows = vec![HEADER.map(|title| Cell::from(title).styled(BOLD))];
    for lock in locks {
        rows.push(row(lock));
        rows.extend(rows_of_others(lock));
    }
    columns(&rows, coloured)
}

fn row(watched: &LockWithStandbys) -> [Cell; HEADER.len()] {
    let record = &watched.record;
    let held = record.holders().next();
    let none = || NONE.to_owned();
    let reason = held.and_then(|held| held.ending);
    let reason = reason.or(record.disabled.as_ref().map(|disabled| &disabled.reason));
    // The name's latest token may be that of an entry that waits.
    let token = held.and_then(|held| held.token).or(record.token);
    let texts = [
        visible(record.name.as_str()),
        String::new(),
        held.map_or_else(none, |held| left(&held)),
        watched.standbys(),
        held.map_or_else(none, |held| holder(&held, record.kind)),
        held.map_or_else(none, |_| record.kind.code()),
        held.map_or_else(none, |held| since(&held)),
        token.map_or_else(none, |token| token.to_string()),
        record.corrupt.as_deref().or(reason.map(Reason::as_str)).map_or_else(none, visible),
    ];
    let mut cells = texts.map(Cell::from);
    cells[STATE] = state(record.state());
    if watched.has_no_standby() {
        cells[STANDBYS].style = WARNING;
    }
    cells
}

/// Returns the rows of the holders after the first one, and of those that wait.
fn rows_of_others(watched: &LockWithStandbys) -> Vec<[Cell; HEADER.len()]> {
    let record = &watched.record;
    let waiters = record.queue.as_ref().map(QueueRecord::waiters).unwrap_or_default();
    let holders = record.holders().skip(1).map(|held| {
        let word = if held.ending.is_some() { LockState::Ending } else { LockState::Held };
        entry_row(&held, record.kind, state(word))
    });
    let waiters = (1_usize..).zip(waiters).map(|(position, entry)| {
        let state = Cell::from(format!("waits {position}")).styled(DIM);
        entry_row(&CurrentHolder::from(entry), record.kind, state)
    });
    holders.chain(waiters).collect()
}

/// Returns the row of an entry that holds the lock or waits, which has no name.
fn entry_row(entry: &CurrentHolder<'_>, kind: LockKind, state: Cell) -> [Cell; HEADER.len()] {
    let none = || NONE.to_owned();
    let texts = [
        String::new(),
        String::new(),
        left(entry),
        String::new(),
        holder(entry, kind),
        String::new(),
        since(entry),
        entry.token.map_or_else(none, |token| token.to_string()),
        entry.ending.map(Reason::as_str).map_or_else(none, visible),
    ];
    let mut cells = texts.map(Cell::from);
    cells[STATE] = state;
    cells
}

fn left(held: &CurrentHolder<'_>) -> String {
    format!("{:.1}s", held.left.as_secs_f64())
}

fn since(held: &CurrentHolder<'_>) -> String {
    format!("{:.0}", ago(held.held_for))
}

/// Names a holder, and says how much of the lock it holds where that is not evident.
fn holder(held: &CurrentHolder<'_>, kind: LockKind) -> String {
    let name = visible(&held.holder.to_string());
    match (kind, held.weight) {
        (LockKind::ReaderWriter, LockKind::WRITER_WEIGHT) => format!("{name}, writes"),
        (LockKind::ReaderWriter, _) => format!("{name}, reads"),
        (LockKind::Semaphore(_), weight) if weight > 1 => format!("{name}, {weight} permits"),
        _ => name,
    }
}

/// Returns the calendar time that long before now.
fn ago(duration: Duration) -> Timestamp {
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    Timestamp::now().checked_sub(duration).unwrap_or(Timestamp::MIN)
}

fn state(state: LockState) -> Cell {
    let (word, style) = match state {
        LockState::Free => ("free", DIM),
        LockState::Held => ("held", GOOD),
        LockState::Ending => ("ending", WARNING),
        LockState::Disabled => ("disabled", BAD),
        LockState::Corrupt => ("corrupt", BAD),
        _ => ("unknown", WARNING),
    };
    Cell::from(word).styled(style)
}

#[cfg(test)]
mod tests {
    use leasehold::{
        EntryRecord, Error, ErrorKind, FencingToken, Holder, LeaseId, LockName, LockRecord,
    };

    use super::*;

    #[test]
    fn a_corrupt_record_is_shown_with_the_reason() {
        let error = Error::new(ErrorKind::Corrupt, "the token is\nno number");
        let record = LockRecord::unreadable(LockName::new("job").unwrap(), &error);
        let watched = LockWithStandbys::new(record, Some(&[]));
        let text = table(std::slice::from_ref(&watched), false);
        let line = text.lines().nth(1).unwrap();
        assert!(line.starts_with("job   corrupt  -     0         -"), "{text}");
        assert!(line.trim_end().ends_with("  the token is\\nno number"), "{text}");
        let json = serde_json::to_value(super::super::standbys::View::from(&watched)).unwrap();
        assert_eq!((&json["state"], &json["token"]), (&"corrupt".into(), &serde_json::Value::Null));
        assert_eq!(json["corrupt"], "the token is\nno number");
    }

    #[test]
    fn a_lock_with_a_queue_has_a_row_for_each_entry() {
        let holder = Holder::current().with_label("web");
        let entry = |number| {
            let token = FencingToken::new(number).unwrap();
            let left = Duration::from_secs(number);
            EntryRecord::new(LeaseId::new(), holder.clone(), token, left)
        };
        let shown = |kind, entries| {
            let record = LockRecord::unused(LockName::new("job").unwrap());
            let record = record.with_queue(kind, entries).with_token(FencingToken::new(9).unwrap());
            table(&[LockWithStandbys::new(record, Some(&[]))], false)
        };
        let ending = Reason::new("upkeep").unwrap();
        let kind = LockKind::semaphore(4).unwrap();
        let entries = vec![
            entry(6).with_weight(2),
            entry(7).with_ending(ending),
            entry(8).with_weight(4),
            entry(9),
        ];
        let text = shown(kind, entries);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        for (line, start, parts) in [
            (lines[1], "job   ending   6.0s  0", ["web (", ", 2 permits  semaphore:4  ", "  6  "]),
            (lines[2], "      ending   7.0s   ", ["web (", "  7  ", "  upkeep"]),
            (lines[3], "      waits 1  8.0s   ", ["web (", ", 4 permits  ", "  8  "]),
            (lines[4], "      waits 2  9.0s   ", ["web (", "  9  ", "  -"]),
        ] {
            assert!(line.starts_with(start), "{start:?}:\n{text}");
            assert!(parts.iter().all(|part| line.contains(part)), "{parts:?}:\n{text}");
        }
        let entries = vec![entry(6), entry(7).with_weight(LockKind::WRITER_WEIGHT)];
        let text = shown(LockKind::ReaderWriter, entries);
        for part in [", reads   reader-writer  ", ", writes  "] {
            assert!(text.contains(part), "{part:?}:\n{text}");
        }
    }

    #[test]
    fn columns_align_and_names_cannot_break_lines() {
        let names = ["a", "ä\nb", "long name"];
        let records: Vec<_> =
            names.map(|name| LockRecord::unused(LockName::new(name).unwrap())).to_vec();
        let records: Vec<_> =
            records.into_iter().map(|record| LockWithStandbys::new(record, Some(&[]))).collect();
        let text = table(&records, false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("NAME       STATE  LEFT"), "{text}");
        assert!(lines[2].starts_with("ä\\nb       free   -"), "{text}");
    }
}
