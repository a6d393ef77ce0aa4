use super::*;

const NOW: u64 = 1_700_000_000_000_000;

const HOLDER: &str =
    r#"{"instance":"00000000-0000-0000-0000-000000000000","host":"h","pid":4,"label":"a \"b\"\n"}"#;

/// Returns the line of an entry with that number as its lease and token, and that much time left.
fn line(number: u64, weight: u32, left: u64, more: &str) -> String {
    let (entered_at, expires_at) = (NOW - 5_000_000, NOW + left);
    format!(
        r#"{{"l":"00000000-0000-0000-0000-{number:012x}","p":{number},"w":{weight},"t":{entered_at},"x":{expires_at},{more}"h":{HOLDER}}}"#
    )
}

fn read_as(kind: &str, lines: &str, expires_in: u64) -> Result<Vec<EntryRecord>> {
    let token = Some(FencingToken::new(9).unwrap());
    let expires_at = NOW + expires_in;
    let stored = StoredQueue { kind, lines, token, expires_at, ending: None, now: NOW };
    stored.read().map(|(_, entries)| entries)
}

#[test]
fn entries_are_read_as_the_scripts_write_them() {
    // The scripts escape these characters of a reason by their numbers.
    let told = r#""e":"a \u0022b\u0022 \u005c\u000a é","#;
    let lines = [line(1, 2, 0, ""), line(2, 1, 7, told), line(3, 3, 2_000_000, "")].join("\n");
    let entries = read_as("semaphore:3", &lines, 2_000_000).unwrap();
    let shown = |entry: &EntryRecord| (entry.token.get(), entry.weight, entry.left.as_micros());
    assert_eq!(entries.iter().map(shown).collect::<Vec<_>>(), [(2, 1, 7), (3, 3, 2_000_000)]);
    assert_eq!(entries[0].ending.as_ref().map(Reason::as_str), Some("a \"b\" \\\n é"));
    assert_eq!(entries[1].ending, None);
    assert_eq!(entries[1].entered, Duration::from_secs(5));
    assert_eq!(entries[1].holder.label.as_deref(), Some("a \"b\"\n"));
}

#[test]
fn what_a_later_version_adds_before_the_holder_is_ignored() {
    for more in [r#""later":{"a":[1]},"#, r#""e":"upkeep","later":"x","#] {
        let entries = read_as("fair", &line(1, 1, 9, more), 9).unwrap();
        assert_eq!(entries[0].ending.is_some(), more.starts_with(r#""e""#), "{more}");
    }
}

#[test]
fn what_the_scripts_did_not_write_is_corrupt() {
    let one = line(1, 1, 9, "");
    assert_eq!(read_as("fair", &one, 9).unwrap().len(), 1);
    let mut wrong = vec![
        ("fair", String::new()),
        ("fair", format!("{one}\n")),
        ("fair", format!("{one}\n\n{}", line(2, 1, 9, ""))),
        ("fair", format!("{one}\n{one}")),
        ("fair", format!("[{one}]")),
        // The order is that of the tokens.
        ("semaphore:3", [line(2, 1, 9, ""), one.clone()].join("\n")),
        ("fair", line(10, 1, 9, "")),
        ("fair", line(0, 1, 9, "")),
        ("fair", line(1, 2, 9, "")),
        ("fair", line(1, 0, 9, "")),
        ("fair", line(1, 1, 8, "")),
        ("fair", line(1, 1, 9, r#""e":"","#)),
        ("fair", line(1, 1, 9, r#""e":null,"#)),
        ("fair", line(1, 1, 9, r#""later":1,"e":"upkeep","#)),
        ("exclusive", one.clone()),
        ("semaphore:03", one.clone()),
    ];
    for (part, other) in [
        (r#""p":1"#, r#""p":1.0"#),
        (r#""p":1"#, r#""p":"1""#),
        (r#""p":1"#, r#" "p":1"#),
        (r#"{"l""#, r#"{"z":1,"l""#),
        (r#""t":1"#, r#""t":-1"#),
        (r#""t":1"#, r#""t":9999999999999"#),
        (r#""h":{"#, r#""h":["#),
        (r#""pid":4"#, r#""pid":-4"#),
        ("}}", r#"},"later":{}}"#),
        ("}}", "}"),
    ] {
        assert!(one.contains(part), "{part}");
        wrong.push(("fair", one.replacen(part, other, 1)));
    }
    for (kind, lines) in wrong {
        let error = read_as(kind, &lines, 9).expect_err(&lines);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{kind} {lines}");
    }
}
