//! This table has the library's settings; names, units, defaults and documentation follow from it.

/// A key describes one setting.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Key {
    /// The setting has this name in `leasehold.toml` and in
    /// [`Loader::option`](super::Loader::option).
    pub name: &'static str,
    /// This is the kind of its values.
    pub kind: Kind,
    /// This describes, in words, what applies where it is not set.
    pub default: &'static str,
    /// The original, oe-master-job-executor, has these names for it.
    pub original: Option<Original>,
    /// This sentence says what it is for.
    pub documentation: &'static str,
}

impl Key {
    /// Creates a setting of a program's own, for [`Loader::keys`](super::Loader::keys).
    ///
    /// The name consists of lower-case letters, digits and `_`, and is not in [`KEYS`]. The default
    /// is in words: the program itself applies it where the setting has no value.
    #[must_use]
    pub const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        documentation: &'static str,
    ) -> Self {
        Self { name, kind, default, original: None, documentation }
    }

    /// Returns the environment variable, such as `LEASEHOLD_TTL`.
    #[must_use]
    pub fn variable(&self) -> String {
        variable(self.name)
    }

    /// Returns what a value is called, and what is accepted, to be read after "use".
    pub(super) fn described(&self) -> (String, String) {
        let (noun, accepted) = match self.kind {
            Kind::Store => {
                ("store URL", "the URL of a store as text, such as sqlite:PATH or postgres://…")
            }
            Kind::Namespace => ("namespace", "1 to 32 of a-z, 0-9 and _, starting with a letter"),
            Kind::LockName => ("lock name", "text of 1 to 255 bytes without NUL"),
            Kind::Label => ("label", "text of at most 255 bytes without NUL"),
            Kind::Duration => ("duration", "a duration with its unit, such as 250ms, 15s or 1m30s"),
            Kind::Count | Kind::Connections => ("count", "a whole number, such as 3"),
            Kind::Switch => ("switch", "true or false"),
            Kind::Text => ("text", "text"),
            Kind::OneOf(words) => return (self.name.replace('_', " "), words.join(" or ")),
            Kind::Address => {
                ("address", "an IP address and a port, such as 127.0.0.1:7475 or [::1]:0")
            }
            Kind::Path => ("path", "the path of a file, without NUL"),
        };
        (noun.to_owned(), accepted.to_owned())
    }
}

/// The original has these names for a setting; its durations are whole numbers of milliseconds.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Original {
    /// An option of `startMaster` has this name.
    pub option: Option<&'static str>,
    /// This path in `config.json` names the object and the key in it.
    pub path: Option<&'static str>,
    /// These environment variables are read, and the first that is set applies.
    pub variables: &'static [&'static str],
}

/// The kind says what the values of a setting are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A value is the URL of a store.
    Store,
    /// A value is a namespace.
    Namespace,
    /// A value is the name of a lock.
    LockName,
    /// A value is the label of an instance.
    Label,
    /// A value is a span of time.
    Duration,
    /// A value is a whole number.
    Count,
    /// A value is a number of connections, which is not 0.
    Connections,
    /// A value is true or false.
    Switch,
    /// A value is any text.
    Text,
    /// A value is one of these words.
    OneOf(&'static [&'static str]),
    /// A value is an IP address and a port.
    Address,
    /// A value is the path of a file.
    Path,
}

/// This says, after the word "use", what the original's durations accept.
pub(super) const MILLISECONDS: &str = "a whole number of milliseconds, such as 8000";

/// Leasehold's environment variables begin with this prefix.
pub(super) const PREFIX: &str = "LEASEHOLD_";

/// Names the configuration file.
pub(super) const FILE_VARIABLE: &str = "LEASEHOLD_CONFIG";

/// The original's settings are in this object of its `config.json`.
pub(super) const SECTION: &str = "masterJobExecutor";

/// This table has every setting of the library, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    Key {
        name: "store",
        kind: Kind::Store,
        default: "`leasehold`: a file in the user's state folder; the library: none",
        original: None,
        documentation: "The store's URL.",
    },
    Key {
        name: "namespace",
        kind: Kind::Namespace,
        default: "leasehold",
        original: None,
        documentation: "The namespace of the locks in the store, where applications share one.",
    },
    Key {
        name: "store_connections",
        kind: Kind::Connections,
        default: "the backend's default (see its page)",
        original: None,
        documentation: "The most connections that the store opens for its calls, where it has a \
                        pool.",
    },
    Key {
        name: "label",
        kind: Kind::Label,
        default: "none",
        original: Some(Original { option: None, path: Some("port"), variables: &["PORT"] }),
        documentation: "The label shown for this instance. \
                        From a port of the original it becomes `HOST:PORT`.",
    },
    Key {
        name: "lock_name",
        kind: Kind::LockName,
        default: "none",
        original: Some(Original { option: Some("lockName"), path: None, variables: &[] }),
        documentation: "The lock's name.",
    },
    Key {
        name: "ttl",
        kind: Kind::Duration,
        default: "15s, or derived from the original's heartbeat and tolerance",
        original: None,
        documentation: "How long a lease lasts without a heartbeat: after a crash, another takes \
                        over that much later.",
    },
    Key {
        name: "margin",
        kind: Kind::Duration,
        default: "ttl / 20",
        original: None,
        documentation: "How much earlier than the store the holder stops trusting its lease.",
    },
    Key {
        name: "stop_grace",
        kind: Kind::Duration,
        default: "ttl / 3, at most 5s",
        original: None,
        documentation: "How long a job may take to stop before it is aborted.",
    },
    Key {
        name: "tolerance",
        kind: Kind::Duration,
        default: "ttl - margin - stop_grace",
        original: Some(Original {
            option: Some("tolerance"),
            path: Some("masterJobExecutor.masterJobTolerance"),
            variables: &["MASTER_JOB_TOLERANCE"],
        }),
        documentation: "How long heartbeats may fail before the leader steps down.",
    },
    Key {
        name: "heartbeat_interval",
        kind: Kind::Duration,
        default: "tolerance * 2 / (heartbeat_retries + 3), at most ttl / 5",
        original: Some(Original {
            option: Some("heartbeatInterval"),
            path: Some("masterJobExecutor.heartbeatInterval"),
            variables: &["MASTER_JOB_HEARTBEAT_INTERVAL"],
        }),
        documentation: "How often a lease is renewed.",
    },
    Key {
        name: "heartbeat_retries",
        kind: Kind::Count,
        default: "3",
        original: Some(Original {
            option: Some("maxHeartbeatRetryCount"),
            path: Some("masterJobExecutor.maxHeartbeatRetryCount"),
            variables: &["MASTER_JOB_MAX_HEARTBEAT_RETRY_COUNT"],
        }),
        documentation: "How often a failed heartbeat is retried before the leader steps down.",
    },
    Key {
        name: "poll_interval",
        kind: Kind::Duration,
        default: "ttl / 3",
        original: Some(Original {
            option: Some("checkMasterInterval"),
            path: Some("masterJobExecutor.checkMasterInterval"),
            variables: &["CHECK_MASTER_INTERVAL"],
        }),
        documentation: "How often a waiting instance polls the name without a hint. Unless it is set, once per ttl while hints are received and the name is held.",
    },
    Key {
        name: "hints",
        kind: Kind::Switch,
        default: "true",
        original: None,
        documentation: "Whether to watch the store for changes. Without hints, waiters poll every \
                        poll_interval.",
    },
    Key {
        name: "start_delay",
        kind: Kind::Duration,
        default: "0s",
        original: Some(Original {
            option: Some("initDelay"),
            path: Some("masterJobExecutor.initDelay"),
            variables: &["MASTER_JOB_EXEC_INIT_DELAY", "INIT_DELAY"],
        }),
        documentation: "How long an election waits before its first attempt.",
    },
];

/// These environment variables have the prefix and are not settings.
///
/// The token of the HTTP API is a secret that no output may show, so it is not a setting either.
pub(super) const OTHER_VARIABLES: &[&str] = &[
    FILE_VARIABLE,
    "LEASEHOLD_LOCK",
    "LEASEHOLD_TOKEN",
    "LEASEHOLD_FLOOR",
    "LEASEHOLD_ADMIN_TOKEN",
];

/// These settings belong to the command line alone.
///
/// An application may share files and an environment with the command line, so it ignores these
/// names instead of refusing them.
pub(super) const OF_THE_COMMAND_LINE: [&str; 18] = [
    "wait",
    "fair",
    "permits",
    "read",
    "write",
    "respawn",
    "fence",
    "fence_limit",
    "log",
    "log_format",
    "metrics",
    "listen",
    "admin_token_file",
    "tls_cert",
    "tls_key",
    "max_reads",
    "max_writes",
    "max_connections",
];

/// Returns the environment variable of a setting.
pub(super) fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase())
}
