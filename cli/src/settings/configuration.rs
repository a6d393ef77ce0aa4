//! These settings apply: the library's, and those that only the command line has.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use leasehold::configuration::{Configuration, Origin, Setting, StoreUrl};

use crate::io::log_format::LogFormat;

const DEFAULT_FENCE_LIMIT: Duration = Duration::from_secs(30);

/// These settings apply to this process.
#[derive(Debug)]
pub(crate) struct CliConfiguration {
    /// The run waits this long for the lock; `None` means as long as it takes.
    pub(crate) wait: Option<Duration>,
    /// If this is true, `run` campaigns again after it lost the lock.
    pub(crate) respawn: bool,
    /// `run` raises the fence of this database, if it is set.
    pub(crate) fence: Option<StoreUrl>,
    /// The command is started at the latest when raising the fence has taken this long.
    pub(crate) fence_limit: Duration,
    /// The log has this filter, if one is set.
    pub(crate) log: Option<String>,
    pub(crate) log_format: LogFormat,
    /// `run` serves its metrics here, if this is set.
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) serve: Serve,
    /// These settings are an application's too. It also has the source of each setting.
    pub(crate) library: Configuration,
}

/// These are the settings of `serve`, of which the metrics of `run` share the token and TLS.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Serve {
    /// `serve` listens on this address.
    pub(crate) listen: SocketAddr,
    /// Callers must present the token in this file.
    pub(crate) token_file: Option<PathBuf>,
    /// This file has the server's certificate and those above it.
    pub(crate) tls_cert: Option<PathBuf>,
    /// This file has the certificate's private key.
    pub(crate) tls_key: Option<PathBuf>,
    /// All callers together may make this many reads per second.
    pub(crate) max_reads: u32,
    /// All callers together may make this many writes per second.
    pub(crate) max_writes: u32,
    /// At most this many connections are open.
    pub(crate) max_connections: u32,
}

impl CliConfiguration {
    /// Takes the command line's own settings from what the library has loaded.
    pub(crate) fn new(library: Configuration) -> Self {
        Self {
            wait: library.setting("wait").and_then(|setting| setting.duration),
            respawn: value(&library, "respawn").unwrap_or_default(),
            fence: library.setting("fence").and_then(|setting| setting.url.clone()),
            fence_limit: library
                .setting("fence_limit")
                .and_then(|setting| setting.duration)
                .unwrap_or(DEFAULT_FENCE_LIMIT),
            log: value(&library, "log"),
            log_format: value(&library, "log_format").unwrap_or_default(),
            metrics: value(&library, "metrics"),
            serve: Serve::new(&library),
            library,
        }
    }

    /// Returns where the value of a setting comes from, or `None` if there is no such setting.
    pub(crate) fn origin(&self, name: &str) -> Option<&Origin> {
        self.library.setting(name).map(|setting| &setting.origin)
    }

    /// Returns every setting with its value, to be shown. The library does not have the defaults of
    /// the command line.
    pub(crate) fn all(&self) -> Vec<Setting> {
        let mut settings = self.library.all().to_vec();
        for setting in &mut settings {
            if let Some(value) = self.shown(setting.key) {
                setting.value = Some(value);
            }
        }
        settings
    }

    /// Returns the value of a setting that only the command line has, to be shown. The library
    /// already shows `wait`, which has no default.
    fn shown(&self, name: &str) -> Option<String> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        match name {
            "respawn" => Some(self.respawn.to_string()),
            "fair" | "read" | "write" => {
                Some(value::<bool>(&self.library, name).unwrap_or_default().to_string())
            }
            // The library shows one that is set.
            "fence_limit" if self.origin(name) == Some(&Origin::Default) => {
                Some(format!("{DEFAULT_FENCE_LIMIT:?}"))
            }
            "log" => self.log.clone(),
            "log_format" => Some(self.log_format.as_str().to_owned()),
            "metrics" => self.metrics.map(|address| address.to_string()),
            "listen" => Some(self.serve.listen.to_string()),
            "admin_token_file" => path(&self.serve.token_file),
            "tls_cert" => path(&self.serve.tls_cert),
            "tls_key" => path(&self.serve.tls_key),
            "max_reads" => Some(self.serve.max_reads.to_string()),
            "max_writes" => Some(self.serve.max_writes.to_string()),
            "max_connections" => Some(self.serve.max_connections.to_string()),
            _ => None,
        }
    }
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7475)),
            token_file: None,
            tls_cert: None,
            tls_key: None,
            max_reads: 200,
            max_writes: 20,
            max_connections: 512,
        }
    }
}

impl Serve {
    fn new(library: &Configuration) -> Self {
        let default = Self::default();
        Self {
            listen: value(library, "listen").unwrap_or(default.listen),
            token_file: value(library, "admin_token_file"),
            tls_cert: value(library, "tls_cert"),
            tls_key: value(library, "tls_key"),
            max_reads: value(library, "max_reads").unwrap_or(default.max_reads),
            max_writes: value(library, "max_writes").unwrap_or(default.max_writes),
            max_connections: value(library, "max_connections").unwrap_or(default.max_connections),
        }
    }
}

/// Returns the value of a setting if it has one. The loader has checked it by the kind of its key,
/// so it can be parsed.
pub(super) fn value<T: FromStr>(library: &Configuration, name: &str) -> Option<T> {
    library.setting(name)?.value.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use leasehold::configuration::Loader;

    use super::super::keys::{self, OWN};
    use super::*;

    fn load(loader: Loader) -> CliConfiguration {
        CliConfiguration::new(loader.keys(OWN).load().unwrap())
    }

    #[test]
    fn own_settings_are_read() {
        let configuration = load(Loader::empty().environment([
            ("LEASEHOLD_WAIT", "1m"),
            ("LEASEHOLD_FAIR", "false"),
            ("LEASEHOLD_PERMITS", "3"),
            ("LEASEHOLD_READ", "false"),
            ("LEASEHOLD_WRITE", "false"),
            ("LEASEHOLD_RESPAWN", "true"),
            ("LEASEHOLD_FENCE", "postgres://u:secret@h/d"),
            ("LEASEHOLD_FENCE_LIMIT", "2m"),
            ("LEASEHOLD_LOG", "info"),
            ("LEASEHOLD_LOG_FORMAT", "json"),
            ("LEASEHOLD_METRICS", "[::1]:9000"),
            ("LEASEHOLD_LISTEN", "127.0.0.1:0"),
            ("LEASEHOLD_ADMIN_TOKEN_FILE", "a token"),
            ("LEASEHOLD_TLS_CERT", "cert.pem"),
            ("LEASEHOLD_TLS_KEY", "key.pem"),
            ("LEASEHOLD_MAX_READS", "1"),
            ("LEASEHOLD_MAX_WRITES", "0"),
            ("LEASEHOLD_MAX_CONNECTIONS", "3"),
        ]));
        assert_eq!(configuration.wait, Some(Duration::from_secs(60)));
        assert!(configuration.respawn);
        let fence = configuration.fence.as_ref().map(StoreUrl::as_str);
        assert_eq!(fence, Some("postgres://u:secret@h/d"));
        let shown = configuration.library.setting("fence").and_then(|fence| fence.value.as_deref());
        assert_eq!(shown, Some("postgres://***@h/d"));
        assert_eq!(configuration.fence_limit, Duration::from_secs(120));
        assert_eq!(configuration.log.as_deref(), Some("info"));
        assert_eq!(configuration.log_format, LogFormat::Json);
        let metrics = configuration.metrics.map(|address| address.to_string());
        assert_eq!(metrics.as_deref(), Some("[::1]:9000"));
        assert_eq!(
            configuration.serve,
            Serve {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                token_file: Some("a token".into()),
                tls_cert: Some("cert.pem".into()),
                tls_key: Some("key.pem".into()),
                max_reads: 1,
                max_writes: 0,
                max_connections: 3,
            }
        );
        for key in OWN {
            let origin = configuration.origin(key.name).map(ToString::to_string);
            assert_eq!(origin, Some(format!("environment variable {}", key.variable())));
        }
        let shown: Vec<_> = configuration.all().into_iter().map(|setting| setting.key).collect();
        assert_eq!(shown, keys::all().map(|key| key.name).collect::<Vec<_>>());
    }

    /// The table says in words what applies where nothing is set.
    #[test]
    fn shown_defaults_match_the_table() {
        for setting in load(Loader::empty()).all() {
            let Some(key) = OWN.iter().find(|key| key.name == setting.key) else { continue };
            assert_eq!(setting.origin, Origin::Default);
            let without = key.default.starts_with("none") || ["wait", "log"].contains(&key.name);
            let expected = (!without).then_some(key.default);
            assert_eq!(setting.value.as_deref(), expected, "{}", key.name);
        }
    }

    #[test]
    fn invalid_values_are_explained() {
        for (text, said) in [
            (
                "wait = -1.5",
                "wait in leasehold.toml: -1.5 is not a valid duration; \
                 use a duration with its unit, such as 250ms, 15s or 1m30s",
            ),
            (
                "max_connections = 0",
                "max_connections in leasehold.toml: 0 is not a valid count: \
                 no connection would be possible; use a whole number, such as 3",
            ),
            (
                "respawn = 'yes'",
                "respawn in leasehold.toml: \"yes\" is not a valid switch; use true or false",
            ),
            (
                "log_format = 'xml'",
                "log_format in leasehold.toml: \"xml\" is not a valid log format; use text or json",
            ),
            (
                "listen = 'here'",
                "listen in leasehold.toml: \"here\" is not a valid address; \
                 use an IP address and a port, such as 127.0.0.1:7475 or [::1]:0",
            ),
            (
                "tls_key = ''",
                "tls_key in leasehold.toml: \"\" is not a valid path; \
                 use the path of a file, without NUL",
            ),
            (
                "token_file = 'x'",
                "leasehold.toml has an unknown key \"token_file\"; did you mean admin_token_file?",
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("leasehold.toml"), text).unwrap();
            let loader = Loader::empty().keys(OWN).working_folder(folder.path());
            let error = loader.load().unwrap_err().to_string();
            assert_eq!(error.replace(&format!("{}/", folder.path().display()), ""), said);
        }
    }

    /// A setting that a command does not use may be invalid.
    #[test]
    fn unused_invalid_settings_only_warn() {
        for (name, value) in [("LEASEHOLD_MAX_CONNECTIONS", "0"), ("LEASEHOLD_LISTEN", "here")] {
            let loader = Loader::empty().environment([(name, value)]).needs(["store"]);
            let configuration = load(loader);
            let warnings = configuration.library.warnings.concat();
            assert!(warnings.contains(name), "{warnings}");
            assert_eq!(configuration.serve, Serve::default());
        }
    }

    /// An application may have a file and an environment in common with the command line.
    #[test]
    fn applications_ignore_these_settings() {
        let folder = tempfile::tempdir().unwrap();
        let lines: Vec<_> = OWN.iter().map(|key| format!("{} = 'x'\n", key.name)).collect();
        fs::write(folder.path().join("leasehold.toml"), lines.concat()).unwrap();
        let variables = OWN.iter().map(|key| (key.variable(), "x"));
        let loader = Loader::empty().working_folder(folder.path()).environment(variables);
        let configuration = loader.load().unwrap();
        assert_eq!(configuration.warnings, Vec::<String>::new());
        assert!(OWN.iter().all(|key| configuration.setting(key.name).is_none()));
    }
}
