//! Finds words, doc lines and messages that are not plain English: `xtask/words.toml` lists them.
//!
//! Text between `words: off` and `words: on` is skipped, such as quotations and wrong samples.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The list of what is refused. That file itself is not checked.
const LIST: &str = "xtask/words.toml";

/// The endings of the names of the files that are checked.
const ENDINGS: [&str; 12] = [
    ".rs",
    ".md",
    ".js",
    ".html",
    ".css",
    ".lua",
    ".toml",
    ".yml",
    ".yaml",
    ".sh",
    ".service",
    "openapi.json",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    refuse: Vec<Refused>,
    doc_lines: DocLines,
    messages: Messages,
}

/// Phrases that are refused everywhere. A single word is refused in names too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    phrases: Vec<String>,
    instead: String,
    /// Longer phrases that are allowed.
    #[serde(default)]
    unless: Vec<String>,
}

/// The refused beginnings of the first line of a doc comment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DocLines {
    refuse: Vec<String>,
    instead: String,
}

/// The style of the first string argument of the listed calls.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Messages {
    calls: Vec<String>,
    proper_names: Vec<String>,
    refuse: Vec<String>,
    instead: String,
}

/// A word, a punctuation mark or the end of a paragraph, with its line.
struct Word<'a> {
    line: usize,
    text: &'a str,
}

type Found = (usize, String);

/// Fails if a file of the workspace has a phrase, a doc line or a message that is refused.
pub(crate) fn check(workspace: &Path) -> Result<()> {
    let rules = fs::read_to_string(workspace.join(LIST))?;
    let rules: Rules = toml::from_str(&rules).context(LIST)?;
    let mut found = Vec::new();
    for file in files(workspace)? {
        let text = fs::read_to_string(workspace.join(&file)).with_context(|| file.clone())?;
        let in_file = rules.check(&file, &text).into_iter();
        found.extend(in_file.map(|(line, what)| format!("  {file}:{line}: {what}")));
    }
    if !found.is_empty() {
        bail!("{} places are not plain English ({LIST}):\n{}", found.len(), found.join("\n"));
    }
    Ok(())
}

/// Returns the files that are in the repository or could be added to it.
fn files(workspace: &Path) -> Result<Vec<String>> {
    let line = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(line).current_dir(workspace).output();
    let output = output.context("cannot run git")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let names = String::from_utf8(output.stdout)?;
    let prose = |name: &&str| *name != LIST && ENDINGS.iter().any(|it| name.ends_with(it));
    let exists = |name: &&str| workspace.join(name).exists();
    Ok(names.lines().filter(prose).filter(exists).map(str::to_owned).collect())
}

impl Rules {
    fn check(&self, file: &str, text: &str) -> Vec<Found> {
        let lines = shown(text);
        let mut found = self.phrases(&words(&[file]));
        found.extend(self.phrases(&words(&lines)));
        if file.ends_with(".rs") {
            found.extend(self.doc_lines.check(&lines));
            found.extend(self.messages.check(&lines.join("\n")));
        }
        found.sort();
        found
    }

    fn phrases(&self, words: &[Word<'_>]) -> Vec<Found> {
        let mut by_first: HashMap<&str, Vec<(&str, &Refused)>> = HashMap::new();
        for refused in &self.refuse {
            for phrase in &refused.phrases {
                let first = phrase.split(' ').next().unwrap_or_default();
                by_first.entry(first).or_default().push((phrase.as_str(), refused));
            }
        }
        let mut found = Vec::new();
        for (at, word) in words.iter().enumerate() {
            let parts = parts(word.text);
            for (phrase, refused) in
                parts.iter().filter_map(|it| by_first.get(it.as_str())).flatten()
            {
                let hit = !phrase.contains(' ') || begins(&words[at..], phrase);
                if hit && !refused.unless.iter().any(|it| is_part_of(words, at, it)) {
                    found.push((word.line, format!("{phrase:?}: write {}", refused.instead)));
                }
            }
        }
        found
    }
}

/// Returns the lines. Those between `words: off` and `words: on` become empty.
fn shown(text: &str) -> Vec<&str> {
    let mut on = true;
    let mut shown = Vec::new();
    for line in text.lines() {
        let (off, on_again) = (line.contains("words: off"), line.contains("words: on"));
        if off != on_again {
            on = on_again;
        }
        shown.push(if on { line } else { "" });
    }
    shown
}

/// Splits lines into words. The marks of comments and quotations are skipped, so a phrase is also
/// found if it continues in the next line.
fn words<'a>(lines: &[&'a str]) -> Vec<Word<'a>> {
    let mut words = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let mut rest = line.trim_start().trim_start_matches(['/', '!', '#', '-', '*', '>', ' ']);
        if rest.is_empty() {
            words.push(Word { line: at + 1, text: "" });
        }
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|it: char| !in_word(it)).unwrap_or(rest.len());
            let (text, after) = rest.split_at(end.max(first.len_utf8()));
            if !first.is_whitespace() && !"`*\"\\".contains(first) {
                words.push(Word { line: at + 1, text: text.trim_matches('\'') });
            }
            rest = after;
        }
    }
    words
}

fn in_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == '\''
}

/// Returns the words of a name, in lower case: `HintDispatcher` and `hint_dispatcher` have two.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut lower = false;
    for character in name.chars() {
        if character == '_' || (lower && character.is_uppercase()) {
            parts.push(String::new());
        }
        if let (true, Some(part)) = (character != '_', parts.last_mut()) {
            part.push(character.to_ascii_lowercase());
        }
        lower = character.is_lowercase();
    }
    parts
}

fn begins(words: &[Word<'_>], phrase: &str) -> bool {
    let mut words = words.iter();
    phrase.split(' ').all(|it| words.next().is_some_and(|word| word.text.eq_ignore_ascii_case(it)))
}

/// Returns whether the word at that index is a part of the longer phrase.
fn is_part_of(words: &[Word<'_>], at: usize, phrase: &str) -> bool {
    let longest = phrase.split(' ').count() - 1;
    (at.saturating_sub(longest)..=at).any(|from| begins(&words[from..], phrase))
}

impl DocLines {
    fn check(&self, lines: &[&str]) -> Vec<Found> {
        let mut found = Vec::new();
        // Whether the line is the first of a comment, or of a section below a heading.
        let mut first = true;
        for (at, line) in lines.iter().enumerate() {
            let Some(text) = line.trim_start().strip_prefix("///").map(str::trim) else {
                first = true;
                continue;
            };
            if let (true, Some(begin)) =
                (first, self.refuse.iter().find(|it| text.starts_with(it.as_str())))
            {
                found
                    .push((at + 1, format!("a doc line begins {begin:?}: write {}", self.instead)));
            }
            first = text.starts_with("# ") || (first && text.is_empty());
        }
        found
    }
}

impl Messages {
    fn check(&self, text: &str) -> Vec<Found> {
        let mut found = Vec::new();
        for call in &self.calls {
            let open = format!("{call}(");
            for (at, _) in text.match_indices(&open) {
                let rest = &text[at + open.len()..];
                let Some((before, rest)) = rest.split_once('"') else { continue };
                if text[..at].ends_with(in_word) || before.contains(';') {
                    continue;
                }
                let line = text[..at + open.len() + before.len()].matches('\n').count() + 1;
                let message = literal(rest);
                found.extend(self.faults(message).map(|it| (line, format!("{it}: \"{message}\""))));
            }
        }
        found
    }

    fn faults(&self, message: &str) -> impl Iterator<Item = String> {
        let lines: Vec<_> = message.lines().collect();
        let words = words(&lines);
        let first = message.split(|it: char| !in_word(it)).next().unwrap_or_default();
        let mut characters = first.chars();
        let capital = characters.next().is_some_and(char::is_uppercase)
            && characters.next().is_some_and(char::is_lowercase)
            && !self.proper_names.iter().any(|it| it == first);
        let stop = message.ends_with('.') && !message.ends_with("..");
        let refused = |it: &&String| (0..words.len()).any(|at| begins(&words[at..], it));
        let refused = self.refuse.iter().find(refused);
        let refused = refused.map(|it| format!("{it:?} in a message: write {}", self.instead));
        let capital = capital.then(|| "a message begins in lower case".to_owned());
        let stop = stop.then(|| "a message has no full stop".to_owned());
        [refused, capital, stop].into_iter().flatten()
    }
}

/// Returns the text before the quotation mark that ends the string.
fn literal(rest: &str) -> &str {
    let mut escaped = false;
    let end = rest.find(|character: char| {
        let end = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        end
    });
    &rest[..end.unwrap_or(rest.len())]
}

#[cfg(test)]
mod tests;
