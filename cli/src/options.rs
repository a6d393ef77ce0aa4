//! These options set settings; each has the name of its setting.

use std::path::PathBuf;

/// Every command has these options that are settings.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct CommonArgs {
    /// The store's URL, such as sqlite:PATH [default: a file in the user's state folder]
    #[arg(long, global = true, value_name = "URL")]
    store: Option<String>,

    /// The namespace of the locks in the store, where applications share one [default: leasehold]
    #[arg(long, global = true, value_name = "NS")]
    namespace: Option<String>,

    /// Maximum number of connections in the store's pool, if it has one [default: the store's own]
    #[arg(long, global = true, value_name = "COUNT", allow_hyphen_values = true)]
    store_connections: Option<String>,

    /// The configuration file [default: ./leasehold.toml, else the user's or the system's]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The log on standard error: info, debug, or a filter by module [default: warnings]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,

    /// The format of standard error, text or json [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// The options that say which kind of lock `run` holds have this heading.
const KIND: &str = "Kind of lock (default: exclusive, in no order)";

/// `run` has these options that are settings.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct RunSettings {
    /// The lock's name
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    lock: Option<String>,

    /// How long the lease lasts without a heartbeat: after a crash of the machine, another takes
    /// over that much later [default: 15s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    ttl: Option<String>,

    /// How long to wait for the lock, and before that for the store [default: as long as it takes];
    /// 0 tries once
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    wait: Option<String>,

    /// Hold the lock in the order of arrival
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", help_heading = KIND)]
    fair: Option<String>,

    /// Hold one of this many permits: at most this many commands run at a time, on all machines
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true, help_heading = KIND)]
    permits: Option<String>,

    /// Hold the lock together with other readers, but not with a writer
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", help_heading = KIND)]
    read: Option<String>,

    /// Hold the lock alone, as a writer
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", help_heading = KIND)]
    write: Option<String>,

    /// How long the command has from SIGTERM to SIGKILL [default: 5s, or a third of the ttl if
    /// that is less]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    stop_grace: Option<String>,

    /// When the lock is lost or disabled, campaign again and run the command again instead of
    /// exiting with 76
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true")]
    respawn: Option<String>,

    /// The URL of the database that the command writes to: its fence is raised before the command
    /// is started, so that no transaction of an older term can commit [default: none]
    #[arg(long, value_name = "URL")]
    fence: Option<String>,

    /// How long to wait for transactions of older terms before the command is started anyway
    /// [default: 30s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    fence_limit: Option<String>,

    /// The address at which Prometheus fetches metrics, at /metrics; port 0 chooses one [default:
    /// none]
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<String>,

    /// The label shown for this instance
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, help_heading = "Fine tuning")]
    label: Option<String>,

    /// How much earlier than the store this process stops trusting its lease [default: ttl / 20]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = "Fine tuning")]
    margin: Option<String>,

    /// How long heartbeats may fail before the command is stopped [default: the rest of the ttl]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = "Fine tuning")]
    tolerance: Option<String>,

    /// How often the lease is renewed [default: a fifth of the ttl, or less]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = "Fine tuning")]
    heartbeat_interval: Option<String>,

    /// How often a failed heartbeat is retried before the command is stopped [default: 3]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true, help_heading = "Fine tuning")]
    heartbeat_retries: Option<String>,

    /// How often to poll the lock while waiting without a hint [default: ttl / 3; with hints, the ttl]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = "Fine tuning")]
    poll_interval: Option<String>,

    /// Watch the store for changes; with false, poll only [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", help_heading = "Fine tuning")]
    hints: Option<String>,

    /// How long to wait before the first attempt [default: 0s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = "Fine tuning")]
    start_delay: Option<String>,
}

/// `serve` and the metrics of `run` have these options about access.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Access over HTTP")]
pub(crate) struct AccessSettings {
    /// The file with the token that callers must present
    #[arg(long, value_name = "FILE")]
    token_file: Option<String>,

    /// The server's certificate chain, as PEM
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,

    /// The certificate's private key, as PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
}

/// `serve` has these options that are settings.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "HTTP control API")]
pub(crate) struct ServeSettings {
    /// The address to listen on; port 0 chooses one [default: 127.0.0.1:7475]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,

    /// Maximum reads per second, for all callers together [default: 200]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    max_reads: Option<String>,

    /// Maximum writes per second, for all callers together [default: 20]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    max_writes: Option<String>,

    /// Maximum number of connections [default: 512]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    max_connections: Option<String>,
}

/// A given option has the name of its setting, the option itself, and its value.
pub(crate) type Given<'a> = (&'static str, &'static str, Option<&'a String>);

impl CommonArgs {
    pub(crate) fn options(&self) -> [Given<'_>; 5] {
        [
            ("store", "--store", self.store.as_ref()),
            ("namespace", "--namespace", self.namespace.as_ref()),
            ("store_connections", "--store-connections", self.store_connections.as_ref()),
            ("log", "--log", self.log.as_ref()),
            ("log_format", "--log-format", self.log_format.as_ref()),
        ]
    }
}

impl RunSettings {
    pub(crate) fn options(&self) -> [Given<'_>; 20] {
        [
            ("lock_name", "--lock", self.lock.as_ref()),
            ("ttl", "--ttl", self.ttl.as_ref()),
            ("wait", "--wait", self.wait.as_ref()),
            ("fair", "--fair", self.fair.as_ref()),
            ("permits", "--permits", self.permits.as_ref()),
            ("read", "--read", self.read.as_ref()),
            ("write", "--write", self.write.as_ref()),
            ("stop_grace", "--stop-grace", self.stop_grace.as_ref()),
            ("respawn", "--respawn", self.respawn.as_ref()),
            ("fence", "--fence", self.fence.as_ref()),
            ("fence_limit", "--fence-limit", self.fence_limit.as_ref()),
            ("metrics", "--metrics", self.metrics.as_ref()),
            ("label", "--label", self.label.as_ref()),
            ("margin", "--margin", self.margin.as_ref()),
            ("tolerance", "--tolerance", self.tolerance.as_ref()),
            ("heartbeat_interval", "--heartbeat-interval", self.heartbeat_interval.as_ref()),
            ("heartbeat_retries", "--heartbeat-retries", self.heartbeat_retries.as_ref()),
            ("poll_interval", "--poll-interval", self.poll_interval.as_ref()),
            ("hints", "--hints", self.hints.as_ref()),
            ("start_delay", "--start-delay", self.start_delay.as_ref()),
        ]
    }
}

impl AccessSettings {
    pub(crate) fn options(&self) -> [Given<'_>; 3] {
        [
            ("admin_token_file", "--token-file", self.token_file.as_ref()),
            ("tls_cert", "--tls-cert", self.tls_cert.as_ref()),
            ("tls_key", "--tls-key", self.tls_key.as_ref()),
        ]
    }
}

impl ServeSettings {
    pub(crate) fn options(&self) -> [Given<'_>; 4] {
        [
            ("listen", "--listen", self.listen.as_ref()),
            ("max_reads", "--max-reads", self.max_reads.as_ref()),
            ("max_writes", "--max-writes", self.max_writes.as_ref()),
            ("max_connections", "--max-connections", self.max_connections.as_ref()),
        ]
    }
}
