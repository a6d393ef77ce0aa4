//! Settings that contradict each other or the store are refused, and settings that fit are used.

use leasehold::configuration::Loader;

#[test]
fn contradicting_settings_name_their_sources() {
    let loader = Loader::empty()
        .environment([("LEASEHOLD_HEARTBEAT_INTERVAL", "8s")])
        .option_shown_as("ttl", "--ttl", "15s");
    let said = loader.load().unwrap_err().to_string();
    assert!(said.contains("a heartbeat interval of 8s with 3 retries does not fit"), "{said}");
    assert!(said.contains("or a longer ttl"), "{said}");
    let sources = "(ttl from option --ttl, \
                   heartbeat_interval from environment variable LEASEHOLD_HEARTBEAT_INTERVAL)";
    assert!(said.ends_with(sources), "{said}");
}

#[test]
fn contradicting_original_settings_are_refused() {
    // A tolerance of four seconds cannot hold three retries of a heartbeat interval of eight
    // seconds.
    let loader = Loader::empty()
        .environment([("MASTER_JOB_TOLERANCE", "4000"), ("MASTER_JOB_HEARTBEAT_INTERVAL", "8000")]);
    let said = loader.load().unwrap_err().to_string();
    assert!(said.contains("MASTER_JOB_TOLERANCE") && said.contains("8s"), "{said}");
    // Zero is not ignored: it is out of range.
    let zero = Loader::empty().environment([("MASTER_JOB_HEARTBEAT_INTERVAL", "0")]);
    assert!(zero.load().unwrap_err().is_invalid());
    let huge =
        Loader::empty().environment([("MASTER_JOB_HEARTBEAT_INTERVAL", u64::MAX.to_string())]);
    assert!(huge.load().unwrap_err().is_invalid());
}

/// A setting that a program does not use may be invalid, or belong to another program.
#[test]
fn unused_invalid_settings_only_warn() {
    let loader = |name: &str, value: &str| {
        Loader::empty().environment([(name, value)]).needs(["store", "namespace"])
    };
    let warnings =
        |name: &str, value: &str| loader(name, value).load().unwrap().warnings.join("\n");
    // One setting is invalid on its own, and one contradicts the others.
    assert_eq!(warnings("INIT_DELAY", "30s"), "");
    assert_eq!(warnings("MASTER_JOB_HEARTBEAT_INTERVAL", "0"), "");
    assert_eq!(
        warnings("LEASEHOLD_STOP_GRACE", "soon"),
        "environment variable LEASEHOLD_STOP_GRACE: \"soon\" is not a valid duration; \
         use a duration with its unit, such as 250ms, 15s or 1m30s \
         (ignored: not used by this command)"
    );
    let warning = warnings("LEASEHOLD_STOP_GRACE", "1h");
    assert!(warning.contains("stop_grace from environment variable"), "{warning}");
    let name = "LEASEHOLD_STORE_CONNECTIONS";
    assert!(warnings(name, "0").contains(name));
    assert_eq!(loader(name, "0").load().unwrap().store_connections, None);
    assert!(loader("LEASEHOLD_NAMESPACE", "A b").load().unwrap_err().is_invalid());
    // The valid settings are read.
    let right = loader("LEASEHOLD_TTL", "30s").load().unwrap();
    assert_eq!(right.timing().ttl, std::time::Duration::from_secs(30));
    assert!(Loader::empty().environment([("INIT_DELAY", "30s")]).load().is_err());
}

#[test]
fn store_connections_and_hints_are_applied() {
    let loader = Loader::empty();
    let default = loader.load().unwrap();
    assert!(default.hints && default.open_options().max_connections.is_none());
    let set = loader.option("hints", false).option("store_connections", 3).load().unwrap();
    assert!(!set.hints);
    assert_eq!(set.open_options().max_connections.map(std::num::NonZeroU32::get), Some(3));
    let none = Loader::empty().option("store_connections", 0).load().unwrap_err();
    assert!(none.is_invalid(), "{none}");
}

#[tokio::test]
async fn a_client_uses_the_configuration() {
    let loader = Loader::empty().option("store", "memory:").option("label", "web-7");
    let configuration = loader.clone().option("lock_name", "a").load().unwrap();
    let client = configuration.client().await.unwrap();
    assert_eq!(client.holder().label.as_deref(), Some("web-7"));
    let lock = client.lock(configuration.required_lock_name().unwrap()).unwrap();
    assert!(lock.try_acquire().await.unwrap().is_some());

    // The memory store grants such a short ttl.
    let short = loader.option("ttl", "10ms").option("heartbeat_retries", 0).load().unwrap();
    short.client().await.unwrap();
    let nothing = Loader::empty().load().unwrap();
    assert_eq!(
        nothing.client().await.unwrap_err().to_string(),
        "no store is set; give the option --store or store, LEASEHOLD_STORE or store in leasehold.toml"
    );
    assert_eq!(
        nothing.required_lock_name().unwrap_err().to_string(),
        "no lock_name is set; give the option --lock or lock_name, LEASEHOLD_LOCK_NAME or lock_name \
         in leasehold.toml"
    );
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_store_opens_in_the_configured_namespace() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("locks.db").display());
    let loader = Loader::empty().environment([("LEASEHOLD_STORE", url)]);
    let one = loader.clone().option("namespace", "one").load().unwrap().client().await.unwrap();
    let two = loader.clone().option("namespace", "two").load().unwrap().client().await.unwrap();
    one.disable("x", "here only").await.unwrap();
    assert!(two.status("x").await.unwrap().disabled.is_none());
    // SQLite refuses such a short ttl, although another store may grant it.
    let short = loader.option("ttl", "20ms").option("heartbeat_retries", 0).load().unwrap();
    assert!(short.client().await.unwrap_err().is_invalid());
}
