//! This module formats tables and other text for people.

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

/// Returns whether to use colours (<https://no-color.org>).
pub(crate) fn colours(is_terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    is_terminal && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// A cell of a table has a text, and a style for terminals with colours.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) style: Style,
}

impl Cell {
    pub(crate) fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), style: Style::new() }
    }
}

/// Returns rows of cells as aligned columns; each line ends in a line break, without trailing
/// spaces.
pub(crate) fn columns<const N: usize>(rows: &[[Cell; N]], coloured: bool) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.width());
        }
    }
    let mut text = String::new();
    for row in rows {
        // Spaces are written before the cell that needs them, so that no line has trailing ones.
        let mut blanks = 0;
        for (Cell { text: cell, style }, width) in row.iter().zip(widths) {
            if !cell.is_empty() {
                text.extend(std::iter::repeat_n(' ', std::mem::take(&mut blanks)));
                match coloured {
                    true => text.push_str(&format!("{style}{cell}{style:#}")),
                    false => text.push_str(cell),
                }
            }
            blanks += width - cell.width() + 2;
        }
        text.push('\n');
    }
    text
}

/// Returns a name or reason without the characters that could move a terminal's cursor or hide
/// text.
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

    /// A terminal shows some characters in two columns, and others in none.
    #[test]
    fn columns_align_by_display_width() {
        let rows = [["夜間バッチ", "held"], ["e\u{301}te\u{301}", "held"], ["job", "free"]];
        let text = columns(&rows.map(|row| row.map(Cell::from)), false);
        assert_eq!(text, "夜間バッチ  held\ne\u{301}te\u{301}         held\njob         free\n");
    }

    #[test]
    fn only_invisible_characters_are_escaped() {
        assert_eq!(visible("it's \"fine\" größe"), "it's \"fine\" größe");
        assert_eq!(visible("a\u{1b}[2J\nb\u{202e}c\\"), "a\\u{1b}[2J\\nb\\u{202e}c\\\\");
        assert_eq!(visible("''\\'"), "''\\\\'");
    }
}
