//! The known name that a misspelt one most likely means.

/// The name among these that is most like that one, if any is at all.
pub(crate) fn nearest<'a>(
    name: &str,
    known: impl IntoIterator<Item = (String, &'a str)>,
) -> Option<&'a str> {
    /// The shortest part of a name that tells which is meant.
    const PART: usize = 5;
    let name = plain(name);
    let known: Vec<_> = known.into_iter().map(|(known, meant)| (plain(&known), meant)).collect();
    let alike = known
        .iter()
        .map(|(known, meant)| (strsim::damerau_levenshtein(&name, known), *meant))
        .filter(|(distance, _)| *distance <= (name.len() / 3).min(4))
        .min_by_key(|(distance, _)| *distance);
    if let Some((_, meant)) = alike {
        return Some(meant);
    }
    // Else the only one that it is a part of, such as "token_file" of "admin_token_file".
    let mut whole = known.iter().filter(|(known, _)| name.len() >= PART && known.contains(&name));
    let (_, meant) = whole.next()?;
    whole.all(|(_, other)| other == meant).then_some(*meant)
}

/// As names are compared: without regard to case and to what stands between words. No name is
/// longer than this, and what is longer is like none.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).take(80).collect()
}
