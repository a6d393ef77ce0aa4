//! Standard output, for people and for pipes that end early.

use std::io::{ErrorKind, Write};

use crate::exit::Failure;

/// Writes to standard output at once.
///
/// # Errors
/// Silent when the reader is gone: `leasehold status | head` is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::silent(0)),
        other => Ok(other?),
    }
}

/// Writes one JSON document on one line.
///
/// # Errors
/// As [`print`].
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::new(crate::exit::FAILED, error.to_string()))?;
    print(&(text + "\n"))
}

/// Whether to colour what goes there (<https://no-color.org>).
pub(crate) fn colours(is_terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    is_terminal && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// Rows of cells as text in columns; each line ends in a line break and without trailing blanks.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A name or reason without the characters that could move a terminal's cursor or hide text.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for part in text.split_inclusive(['"', '\'']) {
        let bare = part.trim_end_matches(['"', '\'']);
        shown.extend(bare.escape_debug());
        shown.push_str(&part[bare.len()..]);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_seen_is_escaped() {
        assert_eq!(visible("it's \"fine\" größe"), "it's \"fine\" größe");
        assert_eq!(visible("a\u{1b}[2J\nb\u{202e}c\\"), "a\\u{1b}[2J\\nb\\u{202e}c\\\\");
        assert_eq!(visible("''\\'"), "''\\\\'");
    }
}
