//! A screen redraws its text on a terminal, cut to fit.

use std::io::IsTerminal;

use unicode_width::UnicodeWidthChar;

use crate::io::exit::Failure;
use crate::io::stdout::print;
use crate::io::table::colours;

/// This sequence moves the cursor to the upper left corner.
const HOME: &str = "\u{1b}[H";
/// These sequences clear the line right of the cursor, and the lines below it.
const CLEAR_LINE: &str = "\u{1b}[K";
const CLEAR_BELOW: &str = "\u{1b}[J";
const RESET: &str = "\u{1b}[0m";
const ESCAPE: char = '\u{1b}';

/// A screen is the terminal on standard output.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) coloured: bool,
}

impl Screen {
    /// Returns the screen, or `None` if standard output is not a terminal.
    pub(super) fn new() -> Option<Self> {
        let terminal = std::io::stdout().is_terminal();
        if !terminal {
            return None;
        }
        // The present text scrolls up, so that it is not lost.
        let (_, height) = size();
        print(&"\n".repeat(height)).ok()?;
        Some(Self { coloured: colours(terminal) })
    }

    /// Replaces the shown text without flicker.
    pub(super) fn draw(&self, text: &str) -> Result<(), Failure> {
        let (width, height) = size();
        let mut drawn = HOME.to_owned();
        for line in fit_to_height(text, height.saturating_sub(1)) {
            drawn.push_str(&cut(&line, width));
            drawn.push_str(CLEAR_LINE);
            drawn.push('\n');
        }
        print(&(drawn + CLEAR_BELOW))
    }
}

/// Returns columns and rows, or 80 and 24 if the terminal does not report them.
fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    let size = size.ok().map(|size| (size.ws_col.into(), size.ws_row.into()));
    size.filter(|(width, height)| *width > 0 && *height > 0).unwrap_or((80, 24))
}

/// Returns at most that many lines; the last one says how many are omitted.
fn fit_to_height(text: &str, height: usize) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let max_lines = height.max(2);
    if lines.len() > max_lines {
        let more = lines.len() - (max_lines - 1);
        lines.truncate(max_lines - 1);
        lines.push(format!("and {more} more"));
    }
    lines
}

/// Cuts a line to at most that many terminal columns; colours do not count, and end with the line.
fn cut(line: &str, width: usize) -> String {
    let (mut shown, mut used, mut in_escape) = (String::new(), 0, false);
    for character in line.chars() {
        if character == ESCAPE {
            in_escape = true;
        } else if in_escape {
            in_escape = character != 'm';
        } else {
            // Combining characters have no width.
            used += character.width().unwrap_or(0);
            if used > width {
                if shown.contains(ESCAPE) {
                    shown.push_str(RESET);
                }
                break;
            }
        }
        shown.push(character);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_the_terminal_width() {
        assert_eq!(cut("größer", 3), "grö");
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("夜間バッチ", 5), "夜間");
        assert_eq!(cut("e\u{301}te\u{301}", 3), "e\u{301}te\u{301}");
        assert_eq!(cut("a \u{1b}[32mheld\u{1b}[0m x", 4), "a \u{1b}[32mhe\u{1b}[0m");
        assert_eq!(cut("a \u{1b}[32mheld\u{1b}[0m", 6), "a \u{1b}[32mheld\u{1b}[0m");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn omitted_lines_are_counted() {
        assert_eq!(fit_to_height("a\nb\nc\n", 3), ["a", "b", "c"]);
        assert_eq!(fit_to_height("a\nb\nc\nd\n", 3), ["a", "b", "and 2 more"]);
        assert_eq!(fit_to_height("a\nb\nc\n", 0), ["a", "and 2 more"]);
    }
}
