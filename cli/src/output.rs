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
