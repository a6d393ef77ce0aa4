use super::*;

const CLOCK: i64 = 1_700_000_000_000_000;

fn stored(number: u64, weight: u32, left: i64) -> StoredEntry {
    StoredEntry {
        lease: LeaseId::from_uuid(Uuid::from_u128(u128::from(number))),
        token: FencingToken::new(number).unwrap(),
        weight,
        holder: Holder::new(Uuid::from_u128(7), "host", 1).with_label("a \"label\" é\n\u{0}"),
        entered_at: CLOCK - 5_000_000,
        expires_at: CLOCK + left,
        ending: None,
    }
}

fn read_all(entries: &[StoredEntry], ending: Option<&Reason>) -> Result<Vec<EntryRecord>> {
    read("semaphore:3", &write(entries)?, ending, CLOCK).map(|(_, entries)| entries)
}

#[test]
fn entries_are_read_as_they_were_written() {
    let reason = Reason::new("upkeep").unwrap();
    let entries =
        [stored(1, 1, 2_000_000), StoredEntry { ending: Some(reason.clone()), ..stored(2, 3, 7) }];
    let (kind, read) = read("semaphore:3", &write(&entries).unwrap(), None, CLOCK).unwrap();
    assert_eq!(kind, LockKind::semaphore(3).unwrap());
    let expected = |at: usize, left, ending: Option<Reason>| {
        let StoredEntry { lease, holder, token, weight, .. } = entries[at].clone();
        EntryRecord::new(lease, holder, token, left)
            .with_weight(weight)
            .with_entered(Duration::from_secs(5))
            .with_ending(ending)
    };
    let expected = [
        expected(0, Duration::from_secs(2), None),
        expected(1, Duration::from_micros(7), Some(reason)),
    ];
    assert_eq!(read, expected);
}

#[test]
fn the_stored_form_has_only_numbers_and_texts() {
    let mut entry = stored(1, 2, 3);
    entry.holder = Holder::new(Uuid::nil(), "h", 4);
    let text = write(std::slice::from_ref(&entry)).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = serde_json::json!([{
        "l": "00000000-0000-0000-0000-000000000001",
        "p": 1,
        "w": 2,
        "h": "{\"instance\":\"00000000-0000-0000-0000-000000000000\",\"host\":\"h\",\"pid\":4}",
        "t": CLOCK - 5_000_000,
        "x": CLOCK + 3,
    }]);
    assert_eq!(json, expected);
    // A database that adds the field when there is no reason, and a later version.
    for more in [r#""e":null"#, r#""later":{"a":[1]}"#] {
        let text = text.replace("}]", &format!(",{more}}}]"));
        let entries: Vec<StoredEntry> = serde_json::from_str(&text).unwrap();
        assert_eq!(entries, [entry.clone()]);
    }
}

#[test]
fn expired_entries_are_dropped() {
    let entries = [stored(1, 1, 0), stored(2, 1, -1), stored(3, 1, 1)];
    let read = read_all(&entries, None).unwrap();
    assert_eq!(read.iter().map(|entry| entry.token.get()).collect::<Vec<_>>(), [3]);
    assert_eq!(read_all(&[], None).unwrap(), []);
}

#[test]
fn the_reason_of_the_record_is_later_than_that_of_an_entry() {
    let (first, second) = (Reason::new("first").unwrap(), Reason::new("second").unwrap());
    let entries = [StoredEntry { ending: Some(first.clone()), ..stored(1, 1, 9) }, stored(2, 1, 9)];
    let reasons = |ending: Option<&Reason>| {
        let read = read_all(&entries, ending).unwrap();
        read.into_iter().map(|entry| entry.ending).collect::<Vec<_>>()
    };
    assert_eq!(reasons(None), [Some(first), None]);
    assert_eq!(reasons(Some(&second)), [Some(second.clone()), Some(second.clone())]);
}

#[test]
fn what_leasehold_did_not_write_is_corrupt() {
    let entry = stored(1, 1, 9);
    let text = write(std::slice::from_ref(&entry)).unwrap();
    let mut wrong = vec![
        ("semaphore:3", "not JSON".to_owned()),
        ("semaphore:3", "{}".to_owned()),
        ("semaphore:3", "[null]".to_owned()),
        ("exclusive", text.clone()),
        ("semaphore:03", text.clone()),
        ("", text.clone()),
    ];
    for (part, other) in [
        (r#""p":1"#, r#""p":0"#),
        (r#""p":1"#, r#""p":1.5"#),
        (r#""p":1"#, r#""p":"1""#),
        (r#""w":1"#, r#""w":0"#),
        (r#""w":1"#, r#""w":4"#),
        (r#""w":1"#, r#""w":-1"#),
        (r#""h":"#, r#""i":"#),
        (r#""h":"{"#, r#""h":"["#),
        (r#""l":"0"#, r#""l":"x"#),
        (r#""t":"#, r#""t":-"#),
        ("}]", r#","e":""}]"#),
    ] {
        assert!(text.contains(part), "{part}");
        wrong.push(("semaphore:3", text.replacen(part, other, 1)));
    }
    let nil = StoredEntry { lease: LeaseId::from_uuid(MARKER), ..entry.clone() };
    let same_token = StoredEntry { lease: LeaseId::new(), ..entry.clone() };
    for entries in [vec![entry.clone(), entry.clone()], vec![entry, same_token], vec![nil]] {
        wrong.push(("semaphore:3", write(&entries).unwrap()));
    }
    for (kind, text) in wrong {
        let error = read(kind, &text, None, CLOCK).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{kind} {text}");
    }
    let error = read("semaphore:3", &text, None, i64::MIN).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}
