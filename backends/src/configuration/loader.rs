//! The loader has the sources of settings, and reads them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use config::ValueKind;
use etcetera::BaseStrategy;

use super::files::Files;
use super::keys::{FILE_VARIABLE, KEYS, Key, OTHER_VARIABLES, PREFIX, variable};
use super::known::KnownKeys;
use super::layer::{Layer, MergedValues, ValueSource};
use super::option_value::OptionValue;
use super::settings::Configuration;
use super::source::{Origin, Spelling};
use super::{resolved, unneeded};
use crate::common::nearest;
use crate::{Error, Result};

/// Reads settings from options, the environment and files.
///
/// [`new`](Self::new) has this process's environment and the usual folders;
/// [`empty`](Self::empty) has nothing, for tests.
///
/// ```
/// use std::time::Duration;
/// use leasehold::configuration::Loader;
///
/// let configuration = Loader::empty()
///     .environment([("LEASEHOLD_TTL", "30s"), ("CHECK_MASTER_INTERVAL", "20000")])
///     .option("lock_name", "JOB-SCHEDULER")
///     .option("checkMasterInterval", 60_000)
///     .load()?;
/// assert_eq!(configuration.timing().ttl, Duration::from_secs(30));
/// assert_eq!(configuration.timing().poll_interval, Duration::from_secs(60));
/// # Ok::<(), leasehold::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Loader {
    keys: KnownKeys,
    options: Vec<(String, String, OptionValue)>,
    variables: BTreeMap<OsString, OsString>,
    file: Option<(PathBuf, Origin)>,
    working_folder: Option<PathBuf>,
    config_folders: Vec<PathBuf>,
    needed: Option<Vec<&'static str>>,
}

impl Loader {
    /// Creates a loader with this process's environment, its working folder, and the user's and the
    /// system's configuration folders.
    #[must_use]
    pub fn new() -> Self {
        let user = etcetera::choose_base_strategy().ok();
        let user = user.map(|folders| folders.config_dir().join("leasehold"));
        let system = cfg!(unix).then(|| PathBuf::from("/etc/leasehold"));
        Self {
            variables: std::env::vars_os().collect(),
            working_folder: Some(PathBuf::new()),
            config_folders: user.into_iter().chain(system).collect(),
            ..Self::default()
        }
    }

    /// Creates a loader without an environment, and without folders in which it looks for files.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Adds settings of the program's own, such as the number of its workers.
    ///
    /// They have the same sources as those of [`KEYS`](super::KEYS), their values are checked, and
    /// [`Configuration::setting`] returns them as text. The loader knows the kind of a value, but
    /// not its default: that remains with the program. Another program, such as the command line,
    /// refuses these keys in a file, so a file with them is for this program only.
    ///
    /// ```
    /// use leasehold::configuration::{Key, Kind, Loader};
    ///
    /// const WORKERS: Key = Key::new("workers", Kind::Count, "4", "How many workers run.");
    ///
    /// let configuration =
    ///     Loader::empty().keys(&[WORKERS]).environment([("LEASEHOLD_WORKERS", "8")]).load()?;
    /// let workers = configuration.setting("workers").and_then(|setting| setting.value.as_deref());
    /// assert_eq!(workers, Some("8"));
    /// # Ok::<(), leasehold::Error>(())
    /// ```
    #[must_use]
    pub fn keys(mut self, keys: &'static [Key]) -> Self {
        self.keys.add(keys);
        self
    }

    /// Sets a setting, above all other sources. Its name is one of [`KEYS`](super::KEYS) or of
    /// [`keys`](Self::keys), or of an option of the original's `startMaster`, whose numbers are
    /// milliseconds.
    #[must_use]
    pub fn option(self, name: &str, value: impl Into<OptionValue>) -> Self {
        self.option_shown_as(name, name, value)
    }

    /// Sets a setting as [`option`](Self::option) does, but messages call it something else, such
    /// as `--ttl`.
    #[must_use]
    pub fn option_shown_as(
        mut self,
        name: &str,
        shown: &str,
        value: impl Into<OptionValue>,
    ) -> Self {
        self.options.push((name.to_owned(), shown.to_owned(), value.into()));
        self
    }

    /// Replaces the environment.
    #[must_use]
    pub fn environment<N, V>(self, variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self { variables: variables.collect(), ..self }
    }

    /// Reads this file instead of looking for one: a `leasehold.toml` of any name, or, if its name
    /// ends in `.json`, a `config.json` of the original.
    #[must_use]
    pub fn file(self, path: impl Into<PathBuf>) -> Self {
        self.file_shown_as("file", path)
    }

    /// Reads this file as [`file`](Self::file) does, but messages call the option something else,
    /// such as `--config`.
    #[must_use]
    pub fn file_shown_as(self, shown: &str, path: impl Into<PathBuf>) -> Self {
        Self { file: Some((path.into(), Origin::Option(shown.to_owned()))), ..self }
    }

    /// Looks in this folder for `leasehold.toml` and the original's `config.json`.
    #[must_use]
    pub fn working_folder(self, folder: impl Into<PathBuf>) -> Self {
        Self { working_folder: Some(folder.into()), ..self }
    }

    /// Looks in these folders for a `leasehold.toml` if the working folder has none.
    #[must_use]
    pub fn config_folders<P: Into<PathBuf>>(self, folders: impl IntoIterator<Item = P>) -> Self {
        Self { config_folders: folders.into_iter().map(Into::into).collect(), ..self }
    }

    /// Says which settings the program uses, by their names. Without this call, it uses all of
    /// them.
    ///
    /// An invalid value is an error only for these settings. For any other setting it is ignored
    /// with a warning, and the default applies. There is no warning for the original's environment
    /// variables, whose names other programs use too.
    #[must_use]
    pub fn needs(self, settings: impl IntoIterator<Item = &'static str>) -> Self {
        Self { needed: Some(settings.into_iter().collect()), ..self }
    }

    /// Reads all sources, and checks the values and that they fit together.
    ///
    /// # Errors
    /// This returns [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a file that cannot be
    /// read, for an unknown key, for an invalid value, and for settings that contradict each other.
    /// The message names the source, the key and what is accepted, or the key that was likely
    /// meant. If a setting has several sources, only the value of the one that applies is read.
    pub fn load(&self) -> Result<Configuration> {
        let mut files = self.files()?;
        let mut layers = std::mem::take(&mut files.layers);
        let [original, ours] = self.variables();
        layers.extend([original, ours]);
        layers.extend(self.options()?);
        files.warnings.extend(self.misspelt_variables());
        let mut merged = MergedValues::new(layers)?;
        if let Some(needed) = &self.needed {
            files.warnings.extend(unneeded::ignore_invalid(&self.keys, &mut merged, needed));
        }
        resolved::configuration(&self.keys, &merged, files.read, files.warnings)
    }

    fn files(&self) -> Result<Files> {
        let named = self.file.clone().or_else(|| {
            let value = self.variables.get(&OsString::from(FILE_VARIABLE))?;
            let by = Origin::Variable(FILE_VARIABLE.to_owned());
            (!value.is_empty()).then(|| (PathBuf::from(value), by))
        });
        match named {
            Some((path, by)) => Files::named(&path, &by, &self.keys),
            None => Files::found(self.working_folder.as_deref(), &self.config_folders, &self.keys),
        }
    }

    /// Reads the original's environment variables, and ours.
    fn variables(&self) -> [Layer; 2] {
        let (mut originals, mut ours) = (Layer::default(), Layer::default());
        for key in self.keys.iter() {
            let names = key.original.map_or(&[][..], |original| original.variables);
            let named = |name: &&str| self.variable(name).is_some();
            if let Some(name) = names.iter().find(|name| named(name)) {
                self.add_variable(&mut originals, key, name, Spelling::Originals);
            }
            self.add_variable(&mut ours, key, &key.variable(), Spelling::Ours);
        }
        [originals, ours]
    }

    /// Returns the value of a variable. An empty variable counts as not set.
    fn variable(&self, name: &str) -> Option<&OsString> {
        self.variables.get(&OsString::from(name)).filter(|value| !value.is_empty())
    }

    fn add_variable(&self, layer: &mut Layer, key: &'static Key, name: &str, words: Spelling) {
        let Some(value) = self.variable(name) else { return };
        let origin = Origin::Variable(name.to_owned());
        // Nil stands for invalid UTF-8, and is refused if it is read.
        let value = value.to_str().map_or(ValueKind::Nil, Into::into);
        layer.set(key, ValueSource { origin, words }, value);
    }

    /// Reads the options that have the original's names, and those that have ours.
    fn options(&self) -> Result<[Layer; 2]> {
        let (mut originals, mut ours) = (Layer::default(), Layer::default());
        for (name, shown, value) in &self.options {
            let of_original = || {
                let is_it = |key: &&Key| key.original.and_then(|o| o.option) == Some(name);
                KEYS.iter().find(is_it).map(|key| (key, Spelling::Originals))
            };
            let of_ours = || self.keys.named(name).map(|key| (key, Spelling::Ours));
            // One name is in both: a number is the original's.
            let found = match value {
                OptionValue::Number(_) => of_original().or_else(of_ours),
                _ => of_ours().or_else(of_original),
            };
            let (key, words) = found.ok_or_else(|| unknown_option(&self.keys, name))?;
            let origin = Origin::Option(shown.clone());
            let value = match (value, words) {
                (OptionValue::Text(text), _) => text.as_str().into(),
                (OptionValue::Number(number), _) => ValueKind::I128(*number),
                (OptionValue::Duration(span), Spelling::Ours) => format!("{span:?}").into(),
                (OptionValue::Duration(span), Spelling::Originals) => {
                    ValueKind::U128(span.as_millis())
                }
                (OptionValue::Switch(switch), _) => (*switch).into(),
            };
            let layer = if words == Spelling::Ours { &mut ours } else { &mut originals };
            layer.set(key, ValueSource { origin, words }, value);
        }
        Ok([originals, ours])
    }

    /// Returns warnings about unknown variables whose names are similar to Leasehold's. They may
    /// belong to another program, so they are not errors: Kubernetes sets variables that begin with
    /// the name of a service.
    fn misspelt_variables(&self) -> Vec<String> {
        let ours: Vec<_> = self.keys.names().map(variable).collect();
        let names = self.variables.keys().filter_map(|name| name.to_str());
        let unknown = names
            .filter(|name| name.starts_with(PREFIX) && !OTHER_VARIABLES.contains(name))
            .filter(|name| !ours.iter().any(|known| known == name));
        let mistake = |name: &str| {
            let known = ours.iter().map(String::as_str).chain(Some(FILE_VARIABLE));
            let likely = known.map(|known| (without_prefix(known).to_owned(), known));
            let meant = nearest(without_prefix(name), likely)?;
            Some(format!("ignored environment variable {name}; did you mean {meant}?"))
        };
        unknown.filter_map(mistake).collect()
    }
}

/// Returns the name of a variable without the common prefix.
fn without_prefix(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

fn unknown_option(keys: &KnownKeys, name: &str) -> Error {
    let names = keys.iter().flat_map(|key| {
        [Some(key.name), key.original.and_then(|original| original.option)].into_iter().flatten()
    });
    let shown: String = name.chars().take(60).collect();
    let error = Error::invalid(format!("unknown option {shown:?}"));
    match nearest(name, names.map(|known| (known.to_owned(), known))) {
        Some(likely) => error.with_fix(format!("did you mean {likely}?")),
        None => {
            let ours: Vec<_> = keys.iter().map(|key| key.name).collect();
            error.with_fix(format!("the options are {}", ours.join(", ")))
        }
    }
}
