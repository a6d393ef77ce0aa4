//! Any text as a store's URL is read without a panic, and no message about it shows its password.
#![no_main]

use std::error::Error;
use std::ops::Range;

use leasehold::fuzzing::label;

/// This is written into a password, so that a message that repeats it is noticed.
const SECRET: &str = "s3cr3t";

libfuzzer_sys::fuzz_target!(|url: &str| {
    let read = label_or_error(url);
    if let Some((scheme, rest)) = url.split_once(':') {
        let same = label_or_error(&format!("{}:{rest}", scheme.to_ascii_uppercase()));
        assert_eq!(read.is_ok(), same.is_ok(), "the case of the scheme matters: {read:?} {same:?}");
    }
    if url.contains(SECRET) {
        return;
    }
    for password in passwords(url) {
        for at in [password.start, password.end] {
            let url = format!("{}{SECRET}{}", &url[..at], &url[at..]);
            let (Ok(text) | Err(text)) = label_or_error(&url);
            assert!(!text.contains(SECRET), "{url:?} is answered with {text}");
        }
    }
});

/// Returns the label, or the full text of the error.
fn label_or_error(url: &str) -> Result<String, String> {
    label(url).map_err(|error| {
        assert!(error.is_invalid(), "{error:?}");
        let mut text = format!("{error} {error:?}");
        let mut cause = error.source();
        while let Some(error) = cause {
            text += &format!(" {error} {error:?}");
            cause = error.source();
        }
        text
    })
}

/// Returns the ranges that the author of the URL intended as passwords, including characters that
/// should have been percent-encoded: before the last `@` that is not in the value of `appName` (or
/// of any option if the part before the path has no colon), and in options.
fn passwords(url: &str) -> Vec<Range<usize>> {
    let (scheme, rest) = url.split_once(':').unwrap_or_default();
    if scheme.eq_ignore_ascii_case("sqlite") || !rest.starts_with("//") {
        return Vec::new();
    }
    let start = scheme.len() + "://".len();
    let (host, query) = url[start..].split_once('?').unwrap_or((&url[start..], ""));
    let host = host.split(['/', '#']).next().unwrap_or_default();
    let plain = !host.contains(':');
    let in_values = query.split('&').all(|option| {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let plain = plain || name.eq_ignore_ascii_case("appName");
        !name.contains('@') && (!value.contains('@') || plain && !value.contains('#'))
    });
    let ends = if in_values { url.find('?').unwrap_or(url.len()) } else { url.len() };
    let login = url[..ends].rfind('@').filter(|end| *end > start).and_then(|end| {
        let colon = start + url[start..end].find(':')?;
        Some(colon + 1..end)
    });
    let option = url.find('?').and_then(|query| {
        let name = "password=";
        let start = query + url[query..].find(name)? + name.len();
        let before = url[query..start].trim_end_matches(name).trim_end_matches("sentinel_");
        (before == "?" || before.ends_with('&')).then_some(start..start)
    });
    login.into_iter().chain(option).collect()
}
