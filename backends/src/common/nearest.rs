//! Finds the known name that a misspelt one most likely means.

/// Returns the known name that is most similar to the given one, if any is similar enough.
pub(crate) fn nearest<'a>(
    name: &str,
    known: impl IntoIterator<Item = (String, &'a str)>,
) -> Option<&'a str> {
    /// A shorter part of a name does not identify it.
    const MIN_PART_LEN: usize = 5;
    let name = normalized(name);
    let known: Vec<_> =
        known.into_iter().map(|(known, meant)| (normalized(&known), meant)).collect();
    let similar = known
        .iter()
        .map(|(known, meant)| (strsim::damerau_levenshtein(&name, known), *meant))
        .filter(|(distance, _)| *distance <= (name.len() / 3).min(4))
        .min_by_key(|(distance, _)| *distance);
    if let Some((_, meant)) = similar {
        return Some(meant);
    }
    // Otherwise the only name that contains it, such as "admin_token_file" for "token_file".
    let mut whole =
        known.iter().filter(|(known, _)| name.len() >= MIN_PART_LEN && known.contains(&name));
    let (_, meant) = whole.next()?;
    whole.all(|(_, other)| other == meant).then_some(*meant)
}

/// Normalizes a name for comparison: case and the separators between words are ignored. A text that
/// is longer than any known name is similar to none.
fn normalized(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).take(80).collect()
}
