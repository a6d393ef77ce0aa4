//! This module looks for files and reads their settings.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use config::{File as Parsed, FileFormat, Map, Source, Value, ValueKind};

use super::keys::{FILE_VARIABLE, KEYS, Key, SECTION};
use super::known::KnownKeys;
use super::layer::{Layer, ValueSource};
use super::parse::{Rejection, compound_kind, invalid_value};
use super::source::{Origin, Spelling};
use super::trusted::reason_not_to_trust;
use crate::common::nearest;
use crate::{Error, Result};

/// Names Leasehold's configuration file in the working folder.
pub(super) const OUR_FILE: &str = "leasehold.toml";
/// Names the original's configuration file in the working folder.
pub(super) const ORIGINAL_FILE: &str = "config.json";

const MAX_BYTES: u64 = 1 << 20;

/// The layers of the files are the original's and then ours, which takes precedence.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) layers: Vec<Layer>,
    pub(super) read: Vec<PathBuf>,
    pub(super) warnings: Vec<String>,
}

impl Files {
    /// Reads the one file that was named.
    pub(super) fn named(path: &Path, by: &Origin, keys: &KnownKeys) -> Result<Self> {
        let text = read(path).map_err(|error| {
            Error::invalid(format!("{by}: {} cannot be read", path.display())).with_source(error)
        })?;
        let layer = if is_json(path) {
            parse_original(path, &text)?.ok_or_else(|| {
                Error::invalid(format!("{} has no {SECTION:?} object", path.display()))
                    .with_fix(format!("name a {OUR_FILE}, or a {ORIGINAL_FILE} with that object"))
            })?
        } else {
            parse_ours(path, &text, keys)?
        };
        Ok(Self { layers: vec![layer], read: vec![path.to_owned()], warnings: Vec::new() })
    }

    /// Reads the files that exist: the first of ours, and the original's.
    pub(super) fn found(
        working: Option<&Path>,
        folders: &[PathBuf],
        keys: &KnownKeys,
    ) -> Result<Self> {
        let mut found = Self::default();
        if let Some(folder) = working {
            found.originals_in(folder)?;
            if found.ours_in(folder, FileTrust::Checked, keys)? {
                return Ok(found);
            }
        }
        for folder in folders {
            if found.ours_in(folder, FileTrust::Given, keys)? {
                break;
            }
        }
        Ok(found)
    }

    fn originals_in(&mut self, folder: &Path) -> Result<()> {
        let path = folder.join(ORIGINAL_FILE);
        if let Err(error) = path.symlink_metadata()
            && is_absent(&path, &error)
        {
            return Ok(());
        }
        if let Some(why) = reason_not_to_trust(folder, &path) {
            // There is a warning only if the file seems to be meant, and none about its errors.
            if read_found(&path).is_ok_and(|text| text.contains(SECTION)) {
                self.skip(&path, &why);
            }
            return Ok(());
        }
        match read_found(&path) {
            Ok(text) => {
                let Some(layer) = parse_original(&path, &text)? else { return Ok(()) };
                self.layers.push(layer);
                self.read.push(path);
            }
            Err(error) if is_absent(&path, &error) => {}
            // Many programs have a file of that name, so this one may belong to another program.
            Err(error) => self.warnings.push(format!("skipped {}: {error}", path.display())),
        }
        Ok(())
    }

    /// Reads Leasehold's own file in that folder, and returns whether there was one.
    fn ours_in(&mut self, folder: &Path, trust: FileTrust, keys: &KnownKeys) -> Result<bool> {
        let path = folder.join(OUR_FILE);
        if let Err(error) = path.symlink_metadata()
            && is_absent(&path, &error)
        {
            return Ok(false);
        }
        if matches!(trust, FileTrust::Checked)
            && let Some(why) = reason_not_to_trust(folder, &path)
        {
            self.skip(&path, &why);
            return Ok(false);
        }
        match read_found(&path) {
            Ok(text) => {
                self.layers.push(parse_ours(&path, &text, keys)?);
                self.read.push(path);
                Ok(true)
            }
            Err(error) if is_absent(&path, &error) => Ok(false),
            Err(error) => {
                Err(Error::invalid(format!("{} cannot be read", path.display())).with_source(error))
            }
        }
    }

    fn skip(&mut self, path: &Path, why: &str) {
        let path = path.display();
        self.warnings.push(format!(
            "skipped {path} because {why}; to use it, pass it with --config or {FILE_VARIABLE}"
        ));
    }
}

/// Says whether a folder's files are read no matter who may write them.
#[derive(Clone, Copy, Debug)]
enum FileTrust {
    Given,
    Checked,
}

/// Returns whether there is no such file as far as this process can see: in a folder that it may
/// not search, no file exists for it.
fn is_absent(path: &Path, error: &std::io::Error) -> bool {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => true,
        // The metadata of an unreadable file can be read; that of a file in a folder that may not
        // be searched cannot.
        ErrorKind::PermissionDenied => {
            path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
        }
        _ => false,
    }
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

/// Reads a file that was found and not named, so it must be a regular file: to open another one, such
/// as a FIFO, could take until another process opens it too.
fn read_found(path: &Path) -> std::io::Result<String> {
    let regular = |metadata: Metadata| match metadata.is_file() {
        true => Ok(()),
        false => Err(std::io::Error::other("it is not a regular file")),
    };
    regular(path.metadata()?)?;
    let mut options = File::options();
    options.read(true);
    // The file may have been replaced since.
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        options.custom_flags(i32::try_from(flags.bits()).unwrap_or_default());
    }
    let file = options.open(path)?;
    regular(file.metadata()?)?;
    contents(file)
}

fn read(path: &Path) -> std::io::Result<String> {
    contents(File::open(path)?)
}

/// Reads all of a file, which is UTF-8 and of a size that settings have.
fn contents(file: File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other(format!("it is longer than {MAX_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        std::io::Error::new(ErrorKind::InvalidData, format!("it is not UTF-8 at byte {at}"))
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Reads the settings of a `leasehold.toml`.
fn parse_ours(path: &Path, text: &str, keys: &KnownKeys) -> Result<Layer> {
    let table = parse(path, text, FileFormat::Toml, "TOML")?;
    let mut layer = Layer::default();
    for (name, value) in table {
        if keys.ignored().any(|ignored| ignored == name) {
            continue;
        }
        let key = keys.named(&name).ok_or_else(|| {
            let known = keys.iter().flat_map(|key| {
                let original = key.original.and_then(|original| original.option);
                [Some(key.name), original].into_iter().flatten().map(|known| (known, key.name))
            });
            let known = known.chain(keys.ignored().map(|name| (name, name)));
            let known: Vec<_> = known.map(|(known, meant)| (known.to_owned(), meant)).collect();
            unknown(path, &name, nearest(&name, known), || keys.names().collect())
        })?;
        set(&mut layer, key, path, name, Spelling::Ours, value)?;
    }
    Ok(layer)
}

/// Reads the settings in the original's `config.json`; there are none if the file is not of the
/// original.
fn parse_original(path: &Path, text: &str) -> Result<Option<Layer>> {
    if !text.contains(SECTION) {
        return Ok(None);
    }
    let mut root = parse(path, text, FileFormat::Json, "JSON")?;
    let Some(section) = root.remove(SECTION) else { return Ok(None) };
    let ValueKind::Table(section) = section.kind else {
        return Err(Error::invalid(format!("{SECTION} in {} is not an object", path.display()))
            .with_fix("use an object of settings"));
    };
    let mut layer = Layer::default();
    let paths = || {
        KEYS.iter().filter_map(|key| {
            let name = key.original?.path?;
            Some((key, name, name.strip_prefix(SECTION)?.strip_prefix('.')?))
        })
    };
    for (name, value) in section {
        let (key, full, _) = paths().find(|(_, _, known)| *known == name).ok_or_else(|| {
            let known = paths().map(|(_, _, known)| (known.to_owned(), known));
            let likely = nearest(&name, known);
            unknown(path, &name, likely, || paths().map(|(_, _, known)| known).collect())
        })?;
        set(&mut layer, key, path, full.to_owned(), Spelling::Originals, value)?;
    }
    for key in KEYS {
        if let Some(name) = key.original.and_then(|original| original.path)
            && let Some(value) = root.remove(name)
        {
            set(&mut layer, key, path, name.to_owned(), Spelling::Originals, value)?;
        }
    }
    Ok(Some(layer))
}

fn set(
    layer: &mut Layer,
    key: &'static Key,
    path: &Path,
    name: String,
    words: Spelling,
    value: Value,
) -> Result<()> {
    let place = ValueSource { origin: Origin::File { path: path.to_owned(), key: name }, words };
    if let Some(what) = compound_kind(&value.kind) {
        return Err(invalid_value(key, &place, what, Rejection::Evident));
    }
    // JSON's null counts as not set.
    if value.kind != ValueKind::Nil {
        layer.set(key, place, value.kind);
    }
    Ok(())
}

fn parse(path: &Path, text: &str, format: FileFormat, what: &str) -> Result<Map<String, Value>> {
    Parsed::from_str(text, format).collect().map_err(|error| {
        // Between the first line and the last stands the text itself, perhaps with a password.
        let said = error.to_string();
        let mut lines = said.lines().filter(|line| !line.trim().is_empty());
        let first = lines.next().unwrap_or_default();
        let last = lines.next_back().map(|last| format!(": {last}")).unwrap_or_default();
        Error::invalid(format!("{} is not {what}: {first}{last}", path.display()))
    })
}

fn unknown(
    path: &Path,
    name: &str,
    likely: Option<&str>,
    known: impl FnOnce() -> Vec<&'static str>,
) -> Error {
    let name: String = name.chars().take(60).collect();
    let error = Error::invalid(format!("{} has an unknown key {name:?}", path.display()));
    match likely {
        Some(likely) => error.with_fix(format!("did you mean {likely}?")),
        None => error.with_fix(format!("the keys are {}", known().join(", "))),
    }
}
