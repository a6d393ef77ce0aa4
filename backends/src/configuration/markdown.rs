//! The table of settings as Markdown.

use std::fmt::Write;

use super::keys::{KEYS, Kind};

/// Every setting with its names, defaults and meaning, as the Markdown table in
/// `docs/reference/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(
        "| key in `leasehold.toml` | environment | command line | value | default | meaning |\n\
         |---|---|---|---|---|---|\n",
    );
    for key in KEYS {
        let _ = writeln!(
            text,
            "| `{}` | `{}` | `{}` | {} | {} | {} |",
            key.name,
            key.variable(),
            key.flag(),
            short(key.kind),
            key.default,
            key.documentation,
        );
    }
    text.push_str(
        "\n| the original's | in `config.json` | option | environment | value |\n|---|---|---|---|---|\n",
    );
    for key in KEYS {
        let Some(original) = key.original else { continue };
        let code = |name: Option<&str>| name.map_or_else(String::new, |name| format!("`{name}`"));
        let variables: Vec<_> = original.variables.iter().map(|name| format!("`{name}`")).collect();
        let value = match key.kind {
            Kind::Duration => "milliseconds",
            Kind::Label => "port",
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

fn short(kind: Kind) -> &'static str {
    match kind {
        Kind::Store => "URL",
        Kind::Namespace => "1 to 32 of a-z, 0-9, _",
        Kind::LockName => "1 to 255 bytes",
        Kind::Label => "at most 255 bytes",
        Kind::Duration => "duration",
        Kind::Count => "whole number",
        Kind::Switch => "true, false",
        Kind::Text => "text",
        Kind::LogFormat => "text, json",
        Kind::Address => "IP:PORT",
        Kind::Path => "path",
    }
}
