//! The table shows locks in aligned columns.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use jiff::{SignedDuration, Timestamp};
use leasehold::{Holder, LockState};

use super::standbys::LockWithStandbys;
use crate::io::table::{Cell, columns, visible};

/// The most important columns come first, because a narrow terminal cuts the rest. The reason is
/// last, because a long one would widen all rows.
const HEADER: [&str; 8] =
    ["NAME", "STATE", "LEFT", "STANDBYS", "HOLDER", "SINCE", "TOKEN", "REASON"];
const STATE: usize = 1;
const STANDBYS: usize = 3;
const NONE: &str = "-";

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const WARNING: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Returns the table with its header.
pub(super) fn table(locks: &[LockWithStandbys], coloured: bool) -> String {
    let mut rows = vec![HEADER.map(|title| Cell::from(title).styled(BOLD))];
    rows.extend(locks.iter().map(row));
    columns(&rows, coloured)
}

fn row(watched: &LockWithStandbys) -> [Cell; HEADER.len()] {
    let record = &watched.record;
    // A lock with several holders shows the first one, and how many there are.
    let held = record.holders().next();
    let none = || NONE.to_owned();
    let reason = held.and_then(|held| held.ending);
    let reason = reason.or(record.disabled.as_ref().map(|disabled| &disabled.reason));
    let texts = [
        visible(record.name.as_str()),
        String::new(),
        held.map_or_else(none, |held| format!("{:.1}s", held.left.as_secs_f64())),
        watched.standbys(),
        held.map_or_else(none, |held| holders(held.holder, record.holders().count() - 1)),
        held.map_or_else(none, |held| format!("{:.0}", ago(held.held_for))),
        record.token.map_or_else(none, |token| token.to_string()),
        record
            .corrupt
            .as_deref()
            .or(reason.map(leasehold::Reason::as_str))
            .map_or_else(none, visible),
    ];
    let mut cells = texts.map(Cell::from);
    cells[STATE] = state(record.state());
    if watched.has_no_standby() {
        cells[STANDBYS].style = WARNING;
    }
    cells
}

/// Names the first holder, and how many others there are.
fn holders(first: &Holder, others: usize) -> String {
    let first = visible(&first.to_string());
    match others {
        0 => first,
        others => format!("{first} +{others}"),
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
        EntryRecord, Error, ErrorKind, FencingToken, LeaseId, LockKind, LockName, LockRecord,
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
    fn a_lock_with_several_holders_shows_the_first_and_their_number() {
        let holder = Holder::current().with_label("web");
        let entry = |number| {
            let token = FencingToken::new(number).unwrap();
            let left = Duration::from_secs(number);
            EntryRecord::new(LeaseId::new(), holder.clone(), token, left)
        };
        let kind = LockKind::semaphore(2).unwrap();
        let record = LockRecord::unused(LockName::new("job").unwrap())
            .with_queue(kind, vec![entry(7), entry(8), entry(9)]);
        let text = table(&[LockWithStandbys::new(record, Some(&[]))], false);
        let line = text.lines().nth(1).unwrap();
        assert!(line.starts_with("job   held   7.0s  0"), "{text}");
        assert!(line.contains(&format!("{holder} +1")), "{text}");
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
