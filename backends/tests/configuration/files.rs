//! These tests cover the files in which settings are looked for.

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
fn own_file_and_original_file_are_both_read() {
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
fn a_named_file_replaces_the_search() {
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
fn a_named_file_must_exist() {
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
    assert!(error.to_string().contains("has no \"masterJobExecutor\" object; name a "), "{error}");
}

/// A user who can write the file, or put another in its place, could choose the store.
#[cfg(unix)]
#[test]
fn a_file_writable_by_others_is_skipped() {
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
            "skipped {} because its folder is writable by everybody; to use it, pass it with \
             --config or LEASEHOLD_CONFIG",
            path(file).display()
        );
        assert!(warnings.lines().any(|line| line == warning), "{warnings}");
    }
    // On a folder with a sticky bit, such as /tmp, other users can still create the file first.
    mode("work", 0o1777);
    assert_eq!(read().0, ["user/leasehold.toml"]);
    // The owner chooses the group.
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

    // Only root may change the owner of a file.
    if chown(path("work"), Some(65534), None).is_ok() {
        let (files, warnings) = read();
        assert_eq!(files, ["user/leasehold.toml"]);
        assert!(warnings.contains("because its folder belongs to user 65534"), "{warnings}");
    }
}

/// Many programs have a `config.json`, so there is no warning about another program's file.
#[cfg(unix)]
#[test]
fn another_programs_config_json_causes_no_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folders = Folders::new();
    folders.write("work/config.json", "{}");
    let work = folders.0.path().join("work");
    fs::set_permissions(work, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(folders.loader().load().unwrap().warnings.is_empty());
}

/// Loads in another thread, because opening a FIFO blocks until another process opens it too.
#[cfg(unix)]
fn loaded(loader: Loader) -> leasehold::Result<Configuration> {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || drop(sender.send(loader.load())));
    receiver.recv_timeout(std::time::Duration::from_secs(60)).expect("it does not end")
}

#[cfg(unix)]
fn make_fifo(path: &Path) {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from(0o644)).unwrap();
}

#[cfg(unix)]
#[test]
fn foreign_files_in_a_shared_folder_are_ignored() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    const CONTENTS: [&str; 4] = ["fifo", "no text", "wrong", "link to a fifo"];
    for content in CONTENTS {
        let folders = Folders::new();
        let work = folders.0.path().join("work");
        fs::set_permissions(&work, fs::Permissions::from_mode(0o1777)).unwrap();
        let fifo = folders.0.path().join("fifo");
        make_fifo(&fifo);
        for name in ["leasehold.toml", "config.json"] {
            let path = work.join(name);
            match content {
                "fifo" => make_fifo(&path),
                "no text" => fs::write(path, [0xff, 0xfe]).unwrap(),
                "wrong" => fs::write(path, "= masterJobExecutor {").unwrap(),
                _ => symlink(&fifo, path).unwrap(),
            }
        }
        folders.write("user/leasehold.toml", "namespace = 'users'");
        let configuration = loaded(folders.loader()).expect(content);
        assert_eq!(configuration.namespace.as_str(), "users", "{content}");
        let warnings = configuration.warnings.join("\n");
        assert!(warnings.contains("leasehold.toml because "), "{content}: {warnings}");
        // Only a file that names the original's settings causes a warning.
        let warned = warnings.contains("config.json");
        assert_eq!(warned, content == "wrong", "{content}: {warnings}");
    }
}

#[cfg(unix)]
#[test]
fn only_regular_files_are_read_in_a_trusted_folder() {
    let folders = Folders::new();
    make_fifo(&folders.0.path().join("work/config.json"));
    let configuration = loaded(folders.loader()).unwrap();
    assert!(configuration.warnings.concat().contains("not a regular file"));
    make_fifo(&folders.0.path().join("work/leasehold.toml"));
    let error = loaded(folders.loader()).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.is_invalid() && source.contains("not a regular file"), "{error}: {source}");
}

/// A user who may create no file that is trusted could still create a link to one.
#[cfg(unix)]
#[test]
fn a_link_of_another_user_is_not_followed() {
    let folders = Folders::new();
    folders.write("user/other.toml", "namespace = 'other'");
    let link = folders.0.path().join("work/leasehold.toml");
    std::os::unix::fs::symlink(folders.0.path().join("user/other.toml"), &link).unwrap();
    assert_eq!(folders.loader().load().unwrap().namespace.as_str(), "other");
    // Only root may change the owner of a link.
    if std::os::unix::fs::lchown(&link, Some(65534), None).is_ok() {
        let configuration = folders.loader().load().unwrap();
        assert_eq!(configuration.namespace.as_str(), "leasehold");
        assert!(configuration.warnings.concat().contains("its link belongs to user 65534"));
    }
}

#[test]
fn byte_order_mark_and_crlf_are_accepted() {
    let folders = Folders::new();
    folders.write("work/leasehold.toml", "\u{feff}ttl = '20s'\r\nnamespace = 'a'\r\n");
    let configuration = folders.loader().load().unwrap();
    assert_eq!(configuration.timing().ttl.as_secs(), 20);
}
