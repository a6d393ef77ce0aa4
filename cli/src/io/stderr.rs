//! Messages are written to standard error, one line each, as text or as JSON.

use std::io::Write;
use std::sync::OnceLock;

use super::log_format::LogFormat;

static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Returns the format of standard error, which is text until the settings are known.
pub(crate) fn format() -> LogFormat {
    FORMAT.get().copied().unwrap_or_default()
}

/// Sets the format of standard error, once per process, and returns the effective one.
pub(crate) fn set_format(format: LogFormat) -> LogFormat {
    *FORMAT.get_or_init(|| format)
}

/// Writes one line to standard error; a failure is ignored, because it cannot be reported.
pub(crate) fn print_message(message: &str) {
    let line = match format() {
        LogFormat::Json => in_json(message),
        _ => format!("leasehold: {}\n", one_line(message)),
    };
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// Returns the line in the JSON format of the log.
fn in_json(message: &str) -> String {
    let line = serde_json::json!({
        "timestamp": format!("{:.6}", jiff::Timestamp::now()),
        "level": "WARN",
        "fields": { "message": message },
        "target": "leasehold",
    });
    format!("{line}\n")
}

/// Returns the text without line breaks and other control characters.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c {
            '\n' | '\r' | '\t' => line.push(' '),
            c if c.is_control() => line.extend(c.escape_debug()),
            c => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_always_one_line() {
        assert_eq!(one_line("a\nb\u{1b}[2Jc\n"), "a b\\u{1b}[2Jc");
    }
}
