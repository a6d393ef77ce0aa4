//! The table shows locks in aligned columns.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use jiff::{SignedDuration, Timestamp};
use leasehold::LockState;

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
    let lease = record.lease.as_ref();
    let none = || NONE.to_owned();
    let reason = lease.and_then(|lease| lease.ending.as_ref());
    let reason = reason.or(record.disabled.as_ref().map(|disabled| &disabled.reason));
    let texts = [
        visible(record.name.as_str()),
        String::new(),
        lease.map_or_else(none, |lease| format!("{:.1}s", lease.left.as_secs_f64())),
        watched.standbys(),
        lease.map_or_else(none, |lease| visible(&lease.holder.to_string())),
        lease.map_or_else(none, |lease| format!("{:.0}", ago(lease.held_for))),
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
    use leasehold::{Error, ErrorKind, LockName, LockRecord};

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
