//! The documentation matches the tables of settings. The page is in the repository, so this test is
//! not part of the package.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../../src/io/log_format.rs"]
#[allow(dead_code, reason = "only the names of the formats are used")]
mod log_format;
/// The table finds the formats of the log here.
mod io {
    pub(crate) use crate::log_format;
}
#[path = "../../src/settings/keys.rs"]
mod keys;

use std::fmt::Write;
use std::path::PathBuf;

use leasehold::configuration::Kind;

use keys::flag;

const BEGIN: &str = "<!-- settings: begin -->\n";
const END: &str = "<!-- settings: end -->";

/// Compares the page with the tables. With `UPDATE_DOCUMENTATION=1` it writes them into the page.
#[test]
fn docs_page_matches_the_keys_table() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = folder.join("../docs/reference/configuration.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the table's begin");
    let (_, after) = rest.split_once(END).expect("the table's end");
    let expected = format!("{before}{BEGIN}\n{}\n{END}{after}", reference());
    if std::env::var_os("UPDATE_DOCUMENTATION").is_some() {
        std::fs::write(&path, expected).unwrap();
    } else {
        assert!(
            page == expected,
            "docs/reference/configuration.md differs from the table of settings; \
             UPDATE_DOCUMENTATION=1 cargo test -p leasehold-cli --test documented \
             updates it"
        );
    }
}

#[test]
fn setting_names_are_unique() {
    let mut names: Vec<_> = keys::all().map(|key| key.name.to_owned()).collect();
    names.extend(keys::all().map(leasehold::configuration::Key::variable));
    for original in keys::all().filter_map(|key| key.original) {
        names.extend(original.path.map(str::to_owned));
        names.extend(original.variables.iter().map(ToString::to_string));
        names.extend(original.option.filter(|name| *name != "tolerance").map(str::to_owned));
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for key in keys::all() {
        assert!(key.documentation.ends_with('.') && !key.default.is_empty(), "{}", key.name);
    }
}

/// Returns every setting with its names, defaults and meaning, as Markdown.
fn reference() -> String {
    let mut text = String::from(
        "| key in `leasehold.toml` | environment | command line | value | default | meaning |\n\
         |---|---|---|---|---|---|\n",
    );
    for key in keys::all() {
        let _ = writeln!(
            text,
            "| `{}` | `{}` | `{}` | {} | {} | {} |",
            key.name,
            key.variable(),
            flag(key.name),
            short(key.kind),
            key.default,
            key.documentation,
        );
    }
    text.push_str(
        "\n| the original's | in `config.json` | option | environment | value |\n\
         |---|---|---|---|---|\n",
    );
    for key in keys::all() {
        let Some(original) = key.original else { continue };
        let code = |name: Option<&str>| name.map_or_else(String::new, |name| format!("`{name}`"));
        let variables: Vec<_> = original.variables.iter().map(|name| format!("`{name}`")).collect();
        let value = match key.kind {
            Kind::Duration => "milliseconds".to_owned(),
            Kind::Label => "port".to_owned(),
            kind => short(kind),
        };
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {value} |",
            key.name,
            code(original.path),
            code(original.option),
            variables.join(", else "),
        );
    }
    text
}

fn short(kind: Kind) -> String {
    let text = match kind {
        Kind::Store => "URL",
        Kind::Namespace => "1 to 32 of a-z, 0-9, _",
        Kind::LockName => "1 to 255 bytes",
        Kind::Label => "at most 255 bytes",
        Kind::Duration => "duration",
        Kind::Count | Kind::Connections => "whole number",
        Kind::Switch => "true, false",
        Kind::Text => "text",
        Kind::OneOf(words) => return words.join(", "),
        Kind::Address => "IP:PORT",
        Kind::Path => "path",
        other => panic!("a kind without a description: {other:?}"),
    };
    text.to_owned()
}
