//! This table has the settings that only the command line has.

use leasehold::configuration::{KEYS, Key, Kind};

use crate::io::log_format::LogFormat;

/// Returns every setting of the command line: the library's, and after them its own.
pub(crate) fn all() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(OWN)
}

/// Only the command line has these settings, which are in the order in which they are shown.
///
/// An application ignores these names, so the library knows them too.
pub(crate) const OWN: &[Key] = &[
    Key::new(
        "wait",
        Kind::Duration,
        "as long as it takes",
        "`leasehold run`: how long to wait for the lock; 0s tries once.",
    ),
    Key::new(
        "fair",
        Kind::Switch,
        "false",
        "`leasehold run`: hold the lock in the order of arrival.",
    ),
    Key::new(
        "permits",
        Kind::Count,
        "none: the lock is not a semaphore",
        "`leasehold run`: hold one of this many permits, so that at most this many commands run at \
         a time, on all machines together.",
    ),
    Key::new(
        "read",
        Kind::Switch,
        "false",
        "`leasehold run`: hold the lock together with other readers, but not with a writer.",
    ),
    Key::new("write", Kind::Switch, "false", "`leasehold run`: hold the lock alone, as a writer."),
    Key::new(
        "respawn",
        Kind::Switch,
        "false",
        "`leasehold run`: when the lock is lost or disabled, campaign again and restart the \
         command.",
    ),
    Key::new(
        "fence",
        Kind::Store,
        "none: no fence is raised",
        "`leasehold run`: the URL of the database whose fence is raised before the command is \
         started; the namespace is that of the locks.",
    ),
    Key::new(
        "fence_limit",
        Kind::Duration,
        "30s",
        "`leasehold run`: how long to wait for transactions of older terms before the command is \
         started anyway.",
    ),
    Key::new(
        "log",
        Kind::Text,
        "warnings",
        "`leasehold`: what is logged, such as `info`, `debug`, or a filter by module.",
    ),
    Key::new(
        "log_format",
        Kind::OneOf(LogFormat::NAMES),
        "text",
        "`leasehold`: how the log is written, as `text` or `json`.",
    ),
    Key::new(
        "metrics",
        Kind::Address,
        "none: metrics are off",
        "`leasehold run`: where Prometheus fetches metrics (`/metrics`); port 0 chooses one.",
    ),
    Key::new(
        "listen",
        Kind::Address,
        "127.0.0.1:7475",
        "`leasehold serve`: where to listen; port 0 chooses one.",
    ),
    Key::new(
        "admin_token_file",
        Kind::Path,
        "none: loopback only",
        "The file with the token that callers of `leasehold serve`, and of `run`'s metrics, must \
         show.",
    ),
    Key::new(
        "tls_cert",
        Kind::Path,
        "none: no TLS",
        "`leasehold serve`, and `run`'s metrics: the server's certificate chain, as PEM.",
    ),
    Key::new(
        "tls_key",
        Kind::Path,
        "none",
        "`leasehold serve`, and `run`'s metrics: the certificate's private key, as PEM.",
    ),
    Key::new(
        "max_reads",
        Kind::Count,
        "200",
        "`leasehold serve`: the maximum reads per second, for all callers together.",
    ),
    Key::new(
        "max_writes",
        Kind::Count,
        "20",
        "`leasehold serve`: the maximum writes per second, for all callers together.",
    ),
    Key::new(
        "max_connections",
        Kind::Connections,
        "512",
        "`leasehold serve`: the maximum number of connections.",
    ),
];

/// Returns the option of a setting, such as `--stop-grace`.
#[cfg(test)]
pub(crate) fn flag(name: &str) -> String {
    match name {
        "lock_name" => "--lock".to_owned(),
        "admin_token_file" => "--token-file".to_owned(),
        name => format!("--{}", name.replace('_', "-")),
    }
}
