//! Which files are looked for.

use std::fs;
use std::path::Path;

use leasehold::configuration::{Configuration, Loader};

struct Folders(tempfile::TempDir);

impl Folders {
    fn new() -> Self {
        let folders = Self(tempfile::tempdir().unwrap());
        for name in ["work", "user", "system"] {
            fs::create_dir(folders.0.path().join(name)).unwrap();
        }
        folders
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        fs::write(self.0.path().join(path), text).unwrap();
        self
    }

    fn loader(&self) -> Loader {
        let folder = |name: &str| self.0.path().join(name);
        Loader::empty().working_folder(folder("work")).config_folders([
            folder("user"),
            folder("absent"),
            folder("system"),
        ])
    }

    fn files(&self, configuration: &Configuration) -> Vec<String> {
        let short = |path: &Path| path.strip_prefix(self.0.path()).unwrap().display().to_string();
        configuration.files.iter().map(|path| short(path)).collect()
    }
}

#[test]
fn the_first_of_ours_and_the_originals() {
    let folders = Folders::new();
    let namespace = |files: &[&str], name: &str| {
        let configuration = folders.loader().load().unwrap();
        assert_eq!(folders.files(&configuration), files);
        assert_eq!(configuration.namespace.as_str(), name);
    };
    namespace(&[], "leasehold");
    folders.write("system/leasehold.toml", "namespace = 'system'");
    namespace(&["system/leasehold.toml"], "system");
    folders.write("user/leasehold.toml", "namespace = 'users'");
    namespace(&["user/leasehold.toml"], "users");
    folders.write("work/config.json", r#"{"masterJobExecutor": {}}"#);
    namespace(&["work/config.json", "user/leasehold.toml"], "users");
    folders.write("work/leasehold.toml", "namespace = 'work'");
    namespace(&["work/config.json", "work/leasehold.toml"], "work");
}

#[test]
fn a_file_that_is_named_is_the_only_one() {
    let folders = Folders::new();
    folders
        .write("work/leasehold.toml", "namespace = 'work'")
        .write("work/config.json", r#"{"masterJobExecutor": {"initDelay": 7000}}"#)
        .write("a", "ttl = '20s'")
        .write("b.json", r#"{"masterJobExecutor": {"initDelay": 8000}}"#);
    let (a, b) = (folders.0.path().join("a"), folders.0.path().join("b.json"));
    let configuration = folders.loader().file(&a).load().unwrap();
    assert_eq!(folders.files(&configuration), ["a"]);
    assert_eq!(configuration.namespace.as_str(), "leasehold");

    let by_variable = folders.loader().environment([("LEASEHOLD_CONFIG", &b)]);
    assert_eq!(folders.files(&by_variable.load().unwrap()), ["b.json"]);
    assert_eq!(by_variable.load().unwrap().timing().start_delay.as_secs(), 8);
    let both = by_variable.file(&a).load().unwrap();
    assert_eq!(folders.files(&both), ["a"]);
}

#[test]
fn a_file_that_is_named_must_be_one() {
    let folders = Folders::new();
    folders.write("plain.json", "{}");
    let missing = folders.loader().environment([("LEASEHOLD_CONFIG", "/no/such/file")]);
    let error = missing.load().unwrap_err();
    assert_eq!(
        error.to_string(),
        "environment variable LEASEHOLD_CONFIG: /no/such/file cannot be read"
    );
    assert!(error.is_invalid() && std::error::Error::source(&error).is_some());
    let folder = folders.loader().file_shown_as("--config", folders.0.path()).load().unwrap_err();
    assert!(folder.to_string().starts_with("option --config: "), "{folder}");
    let error = folders.loader().file(folders.0.path().join("plain.json")).load().unwrap_err();
    assert!(error.to_string().contains("has no \"masterJobExecutor\"; name a "), "{error}");
}

#[test]
fn a_byte_order_mark_and_other_line_ends() {
    let folders = Folders::new();
    folders.write("work/leasehold.toml", "\u{feff}ttl = '20s'\r\nnamespace = 'a'\r\n");
    let configuration = folders.loader().load().unwrap();
    assert_eq!(configuration.timing().ttl.as_secs(), 20);
}
