//! Reads what the measurements need of a store's URL.

/// Returns the scheme, such as `postgres`.
pub(crate) fn scheme(url: &str) -> &str {
    url.split(':').next().unwrap_or_default()
}

/// Returns what follows the scheme: `127.0.0.1:2379` of `etcd://127.0.0.1:2379`, and the path of an
/// SQLite database.
pub(crate) fn rest(url: &str) -> &str {
    let rest = url.split_once(':').map_or(url, |(_, rest)| rest);
    rest.strip_prefix("//").unwrap_or(rest)
}
