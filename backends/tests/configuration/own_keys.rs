//! A program may have settings of its own, with the same sources and the same messages.

use std::time::Duration;

use leasehold::configuration::{Key, Kind, Loader, Origin, StoreUrl};

/// There is one of each kind.
pub(crate) const OWN: &[Key] = &[
    Key::new("archive", Kind::Store, "none", "The store of old jobs."),
    Key::new("archive_namespace", Kind::Namespace, "none", "The namespace of old jobs."),
    Key::new("second_lock", Kind::LockName, "none", "The name of another lock."),
    Key::new("nickname", Kind::Label, "none", "What people call this instance."),
    Key::new("pause", Kind::Duration, "0s", "How long a worker sleeps between jobs."),
    Key::new("workers", Kind::Count, "4", "How many workers run."),
    Key::new("clients", Kind::Connections, "100", "The maximum number of clients."),
    Key::new("verbose", Kind::Switch, "false", "Whether jobs are logged."),
    Key::new("greeting", Kind::Text, "none", "The first line of the log."),
    Key::new("page_size", Kind::OneOf(&["small", "large"]), "small", "The size of a page."),
    Key::new("bind", Kind::Address, "none", "Where to listen."),
    Key::new("job_file", Kind::Path, "none", "The file with the jobs."),
];

/// Returns the message for a `leasehold.toml` with that content, without the folder.
fn refusal(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("leasehold.toml"), text).unwrap();
    let error = Loader::empty().keys(OWN).working_folder(folder.path()).load().unwrap_err();
    assert!(error.is_invalid());
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn own_settings_are_listed_after_those_of_the_library() {
    let configuration = Loader::empty()
        .keys(OWN)
        .environment([("LEASEHOLD_PAUSE", "90s")])
        .option_shown_as("workers", "--workers", 8)
        .load()
        .unwrap();
    let library = Loader::empty().load().unwrap();
    let (first, own) = configuration.all().split_at(library.all().len());
    assert_eq!(first, library.all());
    let names: Vec<_> = own.iter().map(|setting| setting.key).collect();
    assert_eq!(names, OWN.iter().map(|key| key.name).collect::<Vec<_>>());

    let pause = configuration.setting("pause").unwrap();
    assert_eq!(
        (pause.value.as_deref(), pause.duration),
        (Some("90s"), Some(Duration::from_secs(90)))
    );
    let archive =
        Loader::empty().keys(OWN).environment([("LEASEHOLD_ARCHIVE", "redis://:secret@h")]);
    let archive = archive.load().unwrap();
    let archive = archive.setting("archive").unwrap();
    // Only the URL itself has the password.
    assert_eq!(archive.value.as_deref(), Some("redis://***@h"));
    assert_eq!(archive.url.as_ref().map(StoreUrl::as_str), Some("redis://:secret@h"));
    let workers = configuration.setting("workers").unwrap();
    assert_eq!(workers.value.as_deref(), Some("8"));
    assert_eq!(workers.origin, Origin::Option("--workers".to_owned()));
    // The default is the program's.
    let verbose = configuration.setting("verbose").unwrap();
    assert_eq!((verbose.value.as_deref(), &verbose.origin), (None, &Origin::Default));
    assert_eq!(configuration.setting("colour"), None);
}

#[test]
fn invalid_own_values_are_explained() {
    for (text, said) in [
        (
            "pause = -1.5",
            "pause in leasehold.toml: -1.5 is not a valid duration; \
             use a duration with its unit, such as 250ms, 15s or 1m30s",
        ),
        (
            "clients = 0",
            "clients in leasehold.toml: 0 is not a valid count: \
             no connection would be possible; use a whole number, such as 3",
        ),
        (
            "page_size = 'huge'",
            "page_size in leasehold.toml: \"huge\" is not a valid page size; use small or large",
        ),
        (
            "bind = 'here'",
            "bind in leasehold.toml: \"here\" is not a valid address; \
             use an IP address and a port, such as 127.0.0.1:7475 or [::1]:0",
        ),
        (
            "archive = 'postgers://u:secret@h'",
            "archive in leasehold.toml: this is not a valid store URL: \
             unknown store URL scheme \"postgers:\"; \
             use the URL of a store as text, such as sqlite:PATH or postgres://…",
        ),
    ] {
        assert_eq!(refusal(text), said);
    }
}

#[test]
fn own_names_are_suggested() {
    assert_eq!(
        refusal("worker = 3"),
        "leasehold.toml has an unknown key \"worker\"; did you mean workers?"
    );
    let option = Loader::empty().keys(OWN).option("worker", 3).load().unwrap_err().to_string();
    assert_eq!(option, "unknown option \"worker\"; did you mean workers?");
    let loader = Loader::empty().keys(OWN).environment([("LEASEHOLD_WORKER", "3")]);
    assert_eq!(
        loader.load().unwrap().warnings,
        ["ignored environment variable LEASEHOLD_WORKER; did you mean LEASEHOLD_WORKERS?"]
    );
    // A program without this setting refuses it, and suggests another.
    let other = Loader::empty().option("workers", 3).load().unwrap_err().to_string();
    assert!(other.starts_with("unknown option \"workers\"; "), "{other}");
}

#[test]
fn unused_invalid_own_settings_only_warn() {
    for (name, value) in [("LEASEHOLD_CLIENTS", "0"), ("LEASEHOLD_BIND", "here")] {
        let loader = Loader::empty().keys(OWN).environment([(name, value)]);
        let configuration = loader.clone().needs(["store", "pause"]).load().unwrap();
        let warnings = configuration.warnings.concat();
        assert!(warnings.starts_with(&format!("environment variable {name}: ")), "{warnings}");
        let ignored = |key: &str| configuration.setting(key).unwrap().value.is_none();
        assert!(ignored("clients") && ignored("bind"));
        assert!(loader.needs(["clients", "bind"]).load().unwrap_err().is_invalid());
    }
}

/// The command line reads the same files, and has settings that an application does not know.
#[test]
fn settings_of_the_command_line_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let text = "ttl = '20s'\nlog = 'info'\nlisten = 'here'\nmax_connections = 0\n";
    std::fs::write(folder.path().join("leasehold.toml"), text).unwrap();
    let loader = Loader::empty()
        .working_folder(folder.path())
        .environment([("LEASEHOLD_LOG_FORMAT", "xml"), ("LEASEHOLD_WAIT", "soon")]);
    let configuration = loader.load().unwrap();
    assert_eq!(configuration.timing().ttl, Duration::from_secs(20));
    assert_eq!(configuration.warnings, [""; 0]);
    assert_eq!(configuration.setting("log"), None);
    // A misspelt one is refused with the name that was probably meant.
    assert_eq!(
        refusal("logformat = 'json'"),
        "leasehold.toml has an unknown key \"logformat\"; did you mean log_format?"
    );
    let option = loader.option("listen", "127.0.0.1:0").load().unwrap_err().to_string();
    assert!(option.starts_with("unknown option \"listen\"; "), "{option}");
}
