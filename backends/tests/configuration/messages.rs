//! Messages about invalid settings name the source, the key, the accepted values and the nearest
//! name.

use leasehold::configuration::Loader;

/// Returns the message for a file with that content, without the folder.
fn refusal(file: &str, text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(file), text).unwrap();
    let error = Loader::empty().working_folder(folder.path()).load().unwrap_err();
    assert!(error.is_invalid());
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

fn variable_refusal(name: &str, value: &str) -> String {
    Loader::empty().environment([(name, value)]).load().unwrap_err().to_string()
}

const NOT_A_DURATION: &str =
    "not a valid duration; use a duration with its unit, such as 250ms, 15s or 1m30s";

#[test]
fn invalid_values_in_leasehold_toml_are_explained() {
    for (text, said) in [
        ("ttl = 15", format!("ttl in leasehold.toml: 15 is {NOT_A_DURATION}")),
        ("ttl = 'soon'", format!("ttl in leasehold.toml: \"soon\" is {NOT_A_DURATION}")),
        ("margin = -1.5", format!("margin in leasehold.toml: -1.5 is {NOT_A_DURATION}")),
        ("ttl = ['15s']", format!("ttl in leasehold.toml: a list is {NOT_A_DURATION}")),
        ("[ttl]\nx = 1", format!("ttl in leasehold.toml: a table is {NOT_A_DURATION}")),
        (
            "heartbeat_retries = -1",
            "heartbeat_retries in leasehold.toml: -1 is not a valid count; \
             use a whole number, such as 3"
                .into(),
        ),
        (
            "namespace = 'A b'",
            "namespace in leasehold.toml: \"A b\" is not a valid namespace; \
             use 1 to 32 of a-z, 0-9 and _, starting with a letter"
                .into(),
        ),
        (
            "store = 'postgers://u:secret@h'",
            "store in leasehold.toml: this is not a valid store URL: \
             unknown store URL scheme \"postgers:\"; \
             use the URL of a store as text, such as sqlite:PATH or postgres://…"
                .into(),
        ),
        (
            "store_connections = 0",
            "store_connections in leasehold.toml: 0 is not a valid count: \
             no connection would be possible; use a whole number, such as 3"
                .into(),
        ),
        (
            "hints = 'yes'",
            "hints in leasehold.toml: \"yes\" is not a valid switch; use true or false".into(),
        ),
        (
            "lock_name = ''",
            "lock_name in leasehold.toml: \"\" is not a valid lock name: \
             the lock name is empty; use text of 1 to 255 bytes without NUL"
                .into(),
        ),
    ] {
        assert_eq!(refusal("leasehold.toml", text), said);
    }
}

#[test]
fn invalid_values_in_config_json_are_explained() {
    for (value, shown) in
        [("\"8s\"", "\"8s\""), ("-5", "-5"), ("1.5", "1.5"), ("true", "true"), ("1e300", "1e300")]
    {
        let text = format!("{{\"masterJobExecutor\": {{\"heartbeatInterval\": {value}}}}}");
        assert_eq!(
            refusal("config.json", &text),
            format!(
                "masterJobExecutor.heartbeatInterval in config.json: {shown} is not a valid \
                 number of milliseconds for heartbeat_interval; \
                 use a whole number of milliseconds, such as 8000"
            )
        );
    }
    assert_eq!(
        refusal("config.json", "{\"masterJobExecutor\": 5}"),
        "masterJobExecutor in config.json is not an object; use an object of settings"
    );
}

#[test]
fn invalid_variables_and_options_are_explained() {
    assert_eq!(
        variable_refusal("LEASEHOLD_TTL", "15"),
        format!("environment variable LEASEHOLD_TTL: \"15\" is {NOT_A_DURATION}")
    );
    assert_eq!(
        variable_refusal("MASTER_JOB_TOLERANCE", "24s"),
        "environment variable MASTER_JOB_TOLERANCE: \"24s\" is not a valid number of \
         milliseconds for tolerance; use a whole number of milliseconds, such as 8000"
    );
    let error = Loader::empty().option_shown_as("margin", "--margin", "-1s").load().unwrap_err();
    assert_eq!(
        error.to_string(),
        "option --margin: \"-1s\" is not a valid duration: it is negative; \
         use a duration with its unit, such as 250ms, 15s or 1m30s"
    );
}

#[cfg(unix)]
#[test]
fn non_utf8_variables_are_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let loader = Loader::empty().environment([("LEASEHOLD_TTL", OsStr::from_bytes(b"\xff"))]);
    assert_eq!(
        loader.load().unwrap_err().to_string(),
        format!("environment variable LEASEHOLD_TTL: invalid UTF-8 is {NOT_A_DURATION}")
    );
    loader.option("ttl", "20s").load().unwrap();
}

#[test]
fn unknown_keys_suggest_the_nearest() {
    for (text, said) in [
        ("tll = '15s'", "leasehold.toml has an unknown key \"tll\"; did you mean ttl?"),
        (
            "stop-grace = '1s'",
            "leasehold.toml has an unknown key \"stop-grace\"; did you mean stop_grace?",
        ),
        (
            "heartbeatInterval = 3",
            "leasehold.toml has an unknown key \"heartbeatInterval\"; \
             did you mean heartbeat_interval?",
        ),
        (
            "checkMasterInterval = 3",
            "leasehold.toml has an unknown key \"checkMasterInterval\"; \
             did you mean poll_interval?",
        ),
        (
            "token_file = 'x'",
            "leasehold.toml has an unknown key \"token_file\"; did you mean admin_token_file?",
        ),
        ("STORE = ''", "leasehold.toml has an unknown key \"STORE\"; did you mean store?"),
    ] {
        assert_eq!(refusal("leasehold.toml", text), said);
    }
    let all = refusal("leasehold.toml", "colour = 'red'");
    assert!(all.starts_with("leasehold.toml has an unknown key \"colour\"; the keys are store, "));

    let key = |name: &str| {
        refusal("config.json", &format!("{{\"masterJobExecutor\": {{\"{name}\": 1}}}}"))
    };
    assert_eq!(
        key("heartBeatIntervall"),
        "config.json has an unknown key \"heartBeatIntervall\"; did you mean heartbeatInterval?"
    );
    assert!(key("colour").ends_with("maxHeartbeatRetryCount, checkMasterInterval, initDelay"));

    let option = |name: &str| Loader::empty().option(name, "x").load().unwrap_err().to_string();
    assert_eq!(
        option("checkMasterInterva"),
        "unknown option \"checkMasterInterva\"; did you mean checkMasterInterval?"
    );
    assert!(option("colour").starts_with("unknown option \"colour\"; the options are store, "));
}

#[test]
fn misspelt_variables_cause_a_warning() {
    let warnings =
        |name: &str| Loader::empty().environment([(name, "x")]).load().unwrap().warnings.join("\n");
    assert_eq!(
        warnings("LEASEHOLD_NAMSPACE"),
        "ignored environment variable LEASEHOLD_NAMSPACE; did you mean LEASEHOLD_NAMESPACE?"
    );
    assert!(
        warnings("LEASEHOLD_HEARTBEATINTERVAL")
            .contains("did you mean LEASEHOLD_HEARTBEAT_INTERVAL?")
    );
    assert!(warnings("LEASEHOLD_TOKEN_FILE").contains("did you mean LEASEHOLD_ADMIN_TOKEN_FILE?"));
    assert!(warnings("LEASEHOLD_CONFG").contains("did you mean LEASEHOLD_CONFIG?"));
    // Kubernetes sets such variables for a service, and `leasehold run` sets some for its child.
    for name in [
        "LEASEHOLD_PORT",
        "LEASEHOLD_SERVICE_HOST",
        "LEASEHOLD_PORT_7475_TCP_ADDR",
        "LEASEHOLD_TOKEN",
        "LEASEHOLD_LOCK",
        "LEASEHOLD_FLOOR",
        "LEASEHOLD_TEST_MONGODB_IMAGE",
    ] {
        assert_eq!(warnings(name), "", "{name}");
    }
}

#[test]
fn passwords_are_never_shown() {
    for text in [
        "store = 'postgres://u:secret@h/d' x",
        "store = 'postgres://u:secret@h/d",
        "store = ['postgres://u:secret@h/d']",
        "store = 'postgres://u:secret@h/d'\nttl = 3",
        "store = 'postgres://u:secret@h/d'\nstore = 'postgres://u:secret@h/d'",
        "postgres://u:secret@h/d",
    ] {
        let said = refusal("leasehold.toml", text);
        assert!(!said.contains("secret"), "{said}");
        assert!(!said.contains('\n'), "{said}");
    }
    let loader = Loader::empty().option("store", "postgres://u:secret@h/d?password=secret");
    let configuration = loader.load().unwrap();
    assert!(!format!("{configuration:?}").contains("secret"));
    let shown = configuration.setting("store").unwrap();
    assert_eq!(shown.value.as_deref(), Some("postgres://***@h/d?***"));
    assert!(configuration.store.unwrap().as_str().contains("secret"));
}
