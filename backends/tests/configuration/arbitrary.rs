//! Any text in a file or a variable gives a configuration or an error, and never a panic.

use std::fs;

use leasehold::configuration::{KEYS, Loader};

use crate::own_keys::OWN;

fn try_both(folder: &std::path::Path, content: &[u8]) {
    for name in ["leasehold.toml", "config.json"] {
        fs::write(folder.join(name), content).unwrap();
        if let Err(error) = Loader::empty().keys(OWN).working_folder(folder).load() {
            assert!(error.is_invalid(), "{error}");
            let _ = (error.to_string(), format!("{error:?}"));
        }
        fs::remove_file(folder.join(name)).unwrap();
    }
}

#[test]
fn malformed_files_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let section = |value: &str| format!("{{\"masterJobExecutor\": {value}}}");
    let deep = 100_000;
    let mut contents: Vec<Vec<u8>> = vec![
        vec![],
        vec![0],
        vec![0xff; 100],
        b"ttl = \"\xff\"".to_vec(),
        b"{\"masterJobExecutor\": \"\xff\"}".to_vec(),
        vec![b' '; (1 << 20) + 1],
        format!("{} = 1", vec!["a"; deep].join(".")).into_bytes(),
        format!("[{}]\nb = 1", vec!["\"a\""; deep].join(".")).into_bytes(),
        format!("ttl = {}", "[".repeat(deep)).into_bytes(),
        format!("ttl = {}", "{a = ".repeat(deep)).into_bytes(),
        section(&"[".repeat(deep)).into_bytes(),
        section(&"{\"initDelay\":".repeat(deep)).into_bytes(),
        section("{\"\u{0}\": 1}").into_bytes(),
        section("{\"port\": 1}").into_bytes(),
        format!("{{\"port\": {{}}, {}", &section("{}")[1..]).into_bytes(),
    ];
    let values = [
        "0",
        "-0",
        "-1",
        "1e400",
        "-1e400",
        "1.5",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "340282366920938463463374607431768211456",
        "nan",
        "inf",
        "null",
        "true",
        "\"\"",
        "\"\\u0000\"",
        "\"\u{202e}\"",
        "[]",
        "{}",
        "[[]]",
        "\"99999999999999999999999h\"",
        "\"P9999999Y\"",
        "\"-9223372036854775808s\"",
        "1979-05-27",
        "\"1e999\"",
        "\"9223372036854775807s 999999999ns\"",
    ];
    for value in values {
        for key in KEYS.iter().chain(OWN) {
            contents.push(format!("{} = {value}", key.name).into_bytes());
            if let Some(path) = key.original.and_then(|original| original.path) {
                let name = path.rsplit('.').next().unwrap();
                contents.push(section(&format!("{{\"{name}\": {value}}}")).into_bytes());
                contents
                    .push(format!("{{\"{name}\": {value}, \"masterJobExecutor\": {{}}}}").into());
            }
            for name in [key.variable()].into_iter().chain(
                key.original.iter().flat_map(|o| o.variables.iter().map(ToString::to_string)),
            ) {
                let _ = Loader::empty().keys(OWN).environment([(name, value)]).load();
            }
            let _ = Loader::empty().keys(OWN).option(key.name, value).load();
        }
    }
    for content in contents {
        try_both(folder.path(), &content);
    }
}

#[test]
fn mutated_files_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let texts = [
        "store = 'sqlite:a.db'\nttl = \"15s\"\nheartbeat_retries = 3\nverbose = true\n",
        "{\"port\": 3000, \"masterJobExecutor\": {\"initDelay\": 5000, \"heartbeatInterval\": 1}}",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..4000 {
        let mut bytes = texts[round % 2].as_bytes().to_vec();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes[at] = random.u8(..),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, *random.choice(b"\"'[]{}.,:=\n0-9e\\\xc3").unwrap()),
                _ => bytes.truncate(at.max(2)),
            }
        }
        try_both(folder.path(), &bytes);
    }
}

#[test]
fn suggestions_for_long_names_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let name = "a".repeat(1 << 19);
    try_both(folder.path(), format!("{name} = 1").as_bytes());
    let _ = Loader::empty().option(&name, "x").load().unwrap_err();
    let variable = format!("LEASEHOLD_{name}");
    assert!(Loader::empty().environment([(variable, "x")]).load().unwrap().warnings.is_empty());
}
