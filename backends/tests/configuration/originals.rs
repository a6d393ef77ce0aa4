//! These tests cover the examples in the original's documentation, as they are written there.

use std::time::Duration;

use leasehold::configuration::{Configuration, Loader};

fn with_config_json(text: &str) -> leasehold::Result<Configuration> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), text).unwrap();
    Loader::empty().working_folder(folder.path()).load()
}

/// The original's documentation omits a comma, and has dots where an application has more keys.
const EXAMPLE: &str = r#"{
    "restApiRoot": "/api",
    "host": "0.0.0.0",
    "port": 3000,
    "masterJobExecutor": {
        "initDelay": 5000,
        "checkMasterInterval": 20000,
        "heartbeatInterval": 15000,
        "maxHeartbeatRetryCount": 10
    },
    "remoting": { "json": { "strict": false } }
}"#;

#[test]
fn original_config_json_is_read() {
    let configuration = with_config_json(EXAMPLE).unwrap();
    let timing = configuration.timing();
    assert_eq!(timing.start_delay, Duration::from_secs(5));
    assert_eq!(timing.poll_interval, Duration::from_secs(20));
    assert_eq!(timing.heartbeat_interval, Duration::from_secs(15));
    assert_eq!(timing.heartbeat_retries, 10);
    // The ttl holds ten retries half an interval apart, five seconds to stop, and the margin.
    assert_eq!(timing.ttl, Duration::from_secs(108));
    let from = configuration.setting("ttl").unwrap().origin.to_string();
    assert!(from.starts_with("derived from masterJobExecutor.heartbeatInterval in "), "{from}");
    let host = leasehold::Holder::current().host;
    assert_eq!(configuration.label, Some(format!("{host}:3000")));
}

#[test]
fn original_config_json_with_the_documented_typo_is_read() {
    let text = EXAMPLE.replace("20000,", "20000");
    let error = with_config_json(&text).unwrap_err().to_string();
    assert!(error.contains("config.json is not JSON: "), "{error}");
    assert!(error.contains("at line 8 column"), "{error}");
}

#[test]
fn original_environment_variables_are_read() {
    let configuration = Loader::empty()
        .environment([
            ("INIT_DELAY", "1000"),
            ("CHECK_MASTER_INTERVAL", "30000"),
            ("MASTER_JOB_HEARTBEAT_INTERVAL", "8000"),
            ("MASTER_JOB_MAX_HEARTBEAT_RETRY_COUNT", "3"),
            ("PORT", "8080"),
        ])
        .load()
        .unwrap();
    let timing = configuration.timing();
    assert_eq!(timing.start_delay, Duration::from_secs(1));
    assert_eq!(timing.poll_interval, Duration::from_secs(30));
    assert_eq!(timing.heartbeat_interval, Duration::from_secs(8));
    assert_eq!((timing.heartbeat_retries, timing.ttl), (3, Duration::from_secs(31)));
    assert!(configuration.label.as_deref().unwrap().ends_with(":8080"));
}

#[test]
fn original_options_have_the_documented_priority() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), EXAMPLE).unwrap();
    let loader = Loader::empty()
        .working_folder(folder.path())
        .environment([("CHECK_MASTER_INTERVAL", "30000")])
        .option("lockName", "JOB-SCHEDULER");
    let poll = |loader: &Loader| loader.load().unwrap().timing().poll_interval.as_secs();
    assert_eq!(poll(&loader), 30);
    assert_eq!(poll(&loader.clone().option("checkMasterInterval", 60_000)), 60);
    let configuration = loader.load().unwrap();
    assert_eq!(configuration.required_lock_name().unwrap().as_str(), "JOB-SCHEDULER");
}

#[test]
fn original_tolerance_sets_the_ttl() {
    let text = r#"{"masterJobExecutor": {"masterJobTolerance": 24000, "heartbeatInterval": 8000}}"#;
    let configuration = with_config_json(text).unwrap();
    assert_eq!(configuration.timing().tolerance, Duration::from_secs(24));
    assert_eq!(configuration.timing().ttl, Duration::from_secs(31));
    // A ttl from Leasehold's own setting is not changed.
    let loader =
        Loader::empty().environment([("MASTER_JOB_TOLERANCE", "24000"), ("LEASEHOLD_TTL", "60s")]);
    assert_eq!(loader.load().unwrap().timing().ttl, Duration::from_secs(60));
}

#[test]
fn numbers_may_be_text_and_empty_values_are_unset() {
    let text = r#"{"masterJobExecutor": {"heartbeatInterval": "4000", "initDelay": null}}"#;
    let configuration = with_config_json(text).unwrap();
    assert_eq!(configuration.timing().heartbeat_interval, Duration::from_secs(4));
    assert_eq!(configuration.setting("start_delay").unwrap().origin.level(), "default");
}

#[test]
fn a_foreign_config_json_is_ignored() {
    for text in
        ["{\"port\": 80}", "not JSON at all", "", "[1, 2]", "{\"x\": \"masterJobExecutor\"}"]
    {
        let configuration = with_config_json(text).unwrap();
        assert!(configuration.files.is_empty(), "{text}");
        assert_eq!(configuration.label, None, "{text}");
    }
}
