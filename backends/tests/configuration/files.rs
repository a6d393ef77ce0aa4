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

/// A user who can write the file, or put another in its place, could choose the store.
#[cfg(unix)]
#[test]
fn a_file_that_others_could_have_written_is_not_read() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let folders = Folders::new();
    folders
        .write("work/leasehold.toml", "namespace = 'work'")
        .write("work/config.json", r#"{"masterJobExecutor": {"initDelay": 7000}}"#)
        .write("user/leasehold.toml", "namespace = 'users'");
    let path = |name: &str| folders.0.path().join(name);
    let mode = |name: &str, mode| {
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let read = || {
        let configuration = folders.loader().load().unwrap();
        (folders.files(&configuration), configuration.warnings.join("\n"))
    };
    let both = vec!["work/config.json".to_owned(), "work/leasehold.toml".to_owned()];
    assert_eq!(read(), (both.clone(), String::new()));

    mode("work", 0o777);
    let (files, warnings) = read();
    assert_eq!(files, ["user/leasehold.toml"]);
    for file in ["work/config.json", "work/leasehold.toml"] {
        let warning = format!(
            "{} is not read, because its folder is writable by everybody; to use it, name it with \
             --config or LEASEHOLD_CONFIG",
            path(file).display()
        );
        assert!(warnings.lines().any(|line| line == warning), "{warnings}");
    }
    // With a sticky bit, as on /tmp, other users can still create the file first.
    mode("work", 0o1777);
    assert_eq!(read().0, ["user/leasehold.toml"]);
    // A group is chosen by the owner.
    mode("work", 0o775);
    assert_eq!(read(), (both, String::new()));

    mode("work/leasehold.toml", 0o666);
    let (files, warnings) = read();
    assert_eq!(files, ["work/config.json", "user/leasehold.toml"]);
    assert!(warnings.contains("because it is writable by everybody"), "{warnings}");
    mode("work/leasehold.toml", 0o644);
    let named = folders.loader().file(path("work/leasehold.toml"));
    mode("work", 0o777);
    assert_eq!(named.load().unwrap().namespace.as_str(), "work");
    mode("work", 0o755);

    // Only root may give a file away.
    if chown(path("work"), Some(65534), None).is_ok() {
        let (files, warnings) = read();
        assert_eq!(files, ["user/leasehold.toml"]);
        assert!(warnings.contains("because its folder belongs to user 65534"), "{warnings}");
    }
}

/// Many programs have a `config.json`, so there is no warning about another program's file.
#[cfg(unix)]
#[test]
fn another_programs_file_in_a_shared_folder_causes_no_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folders = Folders::new();
    folders.write("work/config.json", "{}");
    let work = folders.0.path().join("work");
    fs::set_permissions(work, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(folders.loader().load().unwrap().warnings.is_empty());
}

#[test]
fn a_byte_order_mark_and_other_line_ends() {
    let folders = Folders::new();
    folders.write("work/leasehold.toml", "\u{feff}ttl = '20s'\r\nnamespace = 'a'\r\n");
    let configuration = folders.loader().load().unwrap();
    assert_eq!(configuration.timing().ttl.as_secs(), 20);
}
