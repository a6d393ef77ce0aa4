//! Each rule finds one sample and passes another.
// words: off

use super::*;

const RULES: &str = r#"
[[refuse]]
phrases = ["no more", "lest"]
instead = "another"
unless = ["no more than"]

[doc_lines]
refuse = ["Whether "]
instead = "a sentence"

[messages]
calls = ["bail!", "Error::new"]
proper_names = ["Redis"]
refuse = ["is no"]
instead = "another"
"#;

/// Returns the lines of a file with that text that are refused.
fn lines(file: &str, text: &str) -> Vec<usize> {
    let rules: Rules = toml::from_str(RULES).unwrap();
    rules.check(file, text).into_iter().map(|(line, _)| line).collect()
}

#[test]
fn the_list_can_be_read() {
    let rules: Rules = toml::from_str(include_str!("../../words.toml")).unwrap();
    assert!(!rules.refuse.is_empty());
}

#[test]
fn refused_phrases_are_found() {
    assert_eq!(lines("a.md", "one\nIt is no more."), [2]);
    assert_eq!(lines("a.rs", "/// It is no\n/// more."), [1]);
    assert_eq!(lines("a.rs", "let said = \"no more\";"), [1]);
}

#[test]
fn accepted_phrases_pass() {
    assert_eq!(lines("a.md", "It takes no more than that. No. More."), [0; 0]);
    assert_eq!(lines("a.md", "It says no\n\nmore."), [0; 0]);
}

#[test]
fn refused_words_are_found_in_names() {
    assert_eq!(lines("a.rs", "fn wait_lest_it_ends() {}\nstruct LestItEnds;"), [1, 2]);
    assert_eq!(lines("src/lest.rs", ""), [1]);
    assert_eq!(lines("a.rs", "fn celeste() {}"), [0; 0]);
}

#[test]
fn hidden_lines_pass() {
    assert_eq!(lines("a.md", "words: off\nno more\nwords: on\nno more"), [4]);
}

#[test]
fn refused_beginnings_of_doc_lines_are_found() {
    let docs =
        "/// Whether it is.\nfn a();\n/// Fine.\n///\n/// # Panics\n///\n/// Whether.\nfn b();";
    assert_eq!(lines("a.rs", docs), [1]);
    assert_eq!(lines("a.rs", &docs.replace("Whether.", "Whether it is.")), [1, 7]);
}

#[test]
fn continued_doc_lines_pass() {
    assert_eq!(lines("a.rs", "/// Returns\n/// Whether it is.\nfn a();"), [0; 0]);
}

#[test]
fn messages_in_another_style_are_found() {
    assert_eq!(lines("a.rs", "bail!(\"it failed.\")"), [1]);
    assert_eq!(lines("a.rs", "Error::new(\n    Kind::Of,\n    \"It failed\")"), [3]);
    assert_eq!(lines("a.rs", "bail!(\"\\\"x\\\" is no \\\n    name\")"), [1]);
}

#[test]
fn messages_in_style_pass() {
    assert_eq!(lines("a.rs", "bail!(\"it failed\");"), [0; 0]);
    assert_eq!(lines("a.rs", "bail!(\"Redis failed; TLS is not used ...\");"), [0; 0]);
    assert_eq!(lines("a.rs", "bail!(error); say(\"It failed.\");"), [0; 0]);
}

// words: on
