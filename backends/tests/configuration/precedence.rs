//! Every setting is read from every source, and the strongest source is used.

use std::path::Path;

use leasehold::configuration::{Configuration, KEYS, Key, Kind, Loader};

use crate::own_keys::OWN;

/// These are the sources of a setting, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    OriginalsFile,
    OurFile,
    OriginalsVariable(usize),
    OurVariable,
    OriginalsOption,
    OurOption,
}

fn sources(key: &Key) -> Vec<Source> {
    let mut sources = Vec::new();
    let original = key.original;
    if original.is_some_and(|original| original.path.is_some()) {
        sources.push(Source::OriginalsFile);
    }
    sources.push(Source::OurFile);
    let variables = original.map_or(0, |original| original.variables.len());
    sources.extend((0..variables).rev().map(Source::OriginalsVariable));
    sources.push(Source::OurVariable);
    if original.is_some_and(|original| original.option.is_some()) {
        sources.push(Source::OriginalsOption);
    }
    sources.push(Source::OurOption);
    sources
}

/// Returns value number `n` of a setting: as Leasehold writes it, as the original writes it, and as
/// it is shown.
fn value(key: &Key, n: usize) -> (String, String, String) {
    let same = |text: String| (text.clone(), text.clone(), text);
    match key.kind {
        Kind::Store => same(format!("sqlite:/tmp/{n}.db")),
        Kind::Namespace => same(format!("ns{n}")),
        Kind::LockName => same(format!("lock {n}")),
        Kind::Label => {
            let host = leasehold::Holder::current().host;
            (format!("label {n}"), format!("{}", 3000 + n), format!("{host}:{}", 3000 + n))
        }
        Kind::Duration => {
            (format!("{}s", 11 + n), format!("{}", (11 + n) * 1000), format!("{}s", 11 + n))
        }
        Kind::Count | Kind::Connections => same(format!("{}", 1 + n)),
        Kind::Switch => same(format!("{}", n.is_multiple_of(2))),
        Kind::Text => same(format!("info,a{n}=debug")),
        Kind::OneOf(words) => same(words[n % words.len()].to_owned()),
        Kind::Address => same(format!("127.0.0.1:{}", 7000 + n)),
        Kind::Path => same(format!("dir/file {n}.pem")),
        other => panic!("a kind without values: {other:?}"),
    }
}

fn in_toml(key: &Key, value: &str) -> String {
    match key.kind {
        Kind::Count | Kind::Connections | Kind::Switch => value.to_owned(),
        _ => format!("{value:?}"),
    }
}

fn in_json(path: &str, value: &str) -> String {
    match path.split_once('.') {
        Some((section, name)) => format!("{{\"{section}\": {{\"{name}\": {value}}}}}"),
        None => format!("{{\"{path}\": {value}, \"masterJobExecutor\": {{}}}}"),
    }
}

fn load(folder: &Path, key: &Key, set: &[(usize, Source)]) -> Configuration {
    let mut variables = Vec::new();
    // The ttl is so long that every value fits into it.
    if key.name != "ttl" {
        variables.push(("LEASEHOLD_TTL".to_owned(), "1h".to_owned()));
    }
    for file in ["config.json", "leasehold.toml"] {
        let _ = std::fs::remove_file(folder.join(file));
    }
    let mut loader = Loader::empty().keys(OWN).working_folder(folder);
    for (n, source) in set {
        let (ours, originals, _) = value(key, *n);
        let write = |file: &str, text: String| std::fs::write(folder.join(file), text).unwrap();
        match source {
            Source::OriginalsFile => {
                write("config.json", in_json(key.original.unwrap().path.unwrap(), &originals));
            }
            Source::OurFile => {
                write("leasehold.toml", format!("{} = {}", key.name, in_toml(key, &ours)));
            }
            Source::OriginalsVariable(which) => {
                let name = key.original.unwrap().variables[*which];
                variables.push((name.to_owned(), originals));
            }
            Source::OurVariable => variables.push((key.variable(), ours)),
            Source::OriginalsOption => {
                let name = key.original.unwrap().option.unwrap();
                loader = match originals.parse::<u64>() {
                    Ok(number) => loader.option_shown_as(name, "originals", number),
                    Err(_) => loader.option_shown_as(name, "originals", originals),
                };
            }
            Source::OurOption => loader = loader.option(key.name, ours),
        }
    }
    loader.environment(variables).load().unwrap_or_else(|error| panic!("{set:?}: {error}"))
}

fn origin(folder: &Path, key: &Key, source: Source) -> String {
    match source {
        Source::OriginalsFile => {
            let path = key.original.unwrap().path.unwrap();
            format!("{path} in {}", folder.join("config.json").display())
        }
        Source::OurFile => {
            format!("{} in {}", key.name, folder.join("leasehold.toml").display())
        }
        Source::OriginalsVariable(which) => {
            format!("environment variable {}", key.original.unwrap().variables[which])
        }
        Source::OurVariable => format!("environment variable {}", key.variable()),
        Source::OriginalsOption => "option originals".to_owned(),
        Source::OurOption => format!("option {}", key.name),
    }
}

#[test]
fn the_highest_source_of_each_setting_wins() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for key in KEYS.iter().chain(OWN) {
        let all: Vec<_> = sources(key).into_iter().enumerate().collect();
        for chosen in 0..1_u32 << all.len() {
            let set: Vec<_> = all.iter().copied().filter(|(n, _)| chosen & (1 << n) != 0).collect();
            let configuration = load(folder, key, &set);
            let setting = configuration.setting(key.name).unwrap();
            let Some((n, source)) = set.last() else {
                assert_eq!(setting.origin.level(), "default", "{}", key.name);
                continue;
            };
            let expected = origin(folder, key, *source);
            assert_eq!(setting.origin.to_string(), expected, "{}: {set:?}", key.name);
            let shown = setting.value.as_deref();
            let (ours, _, originals) = value(key, *n);
            let is_ours = !expected.contains("PORT") && !expected.starts_with("port");
            let value = if is_ours && key.kind == Kind::Label { ours } else { originals };
            assert_eq!(shown, Some(&*value), "{}: {set:?}", key.name);
        }
    }
}

#[test]
fn settings_come_from_several_sources_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("leasehold.toml"), "ttl = '30s'\npoll_interval = '2s'")
        .unwrap();
    std::fs::write(
        folder.path().join("config.json"),
        r#"{"masterJobExecutor": {"checkMasterInterval": 1, "heartbeatInterval": 4000}}"#,
    )
    .unwrap();
    let configuration = Loader::empty()
        .working_folder(folder.path())
        .environment([("LEASEHOLD_NAMESPACE", "billing"), ("INIT_DELAY", "250")])
        .option("stop_grace", std::time::Duration::from_millis(1500))
        .load()
        .unwrap();
    let level = |key| configuration.setting(key).unwrap().origin.level();
    let shown = |key| configuration.setting(key).unwrap().value.clone();
    for (key, expected, value) in [
        ("ttl", "file", "30s"),
        ("poll_interval", "file", "2s"),
        ("heartbeat_interval", "file", "4s"),
        ("namespace", "environment", "billing"),
        ("start_delay", "environment", "250ms"),
        ("stop_grace", "option", "1.5s"),
        ("margin", "default", "1.5s"),
    ] {
        assert_eq!((level(key), shown(key).as_deref()), (expected, Some(value)), "{key}");
    }
    assert_eq!(configuration.files.len(), 2);
}

#[test]
fn empty_variables_count_as_unset() {
    let variables = KEYS.iter().map(|key| (key.variable(), ""));
    let others = [("LEASEHOLD_CONFIG".to_owned(), ""), ("INIT_DELAY".to_owned(), "")];
    let configuration = Loader::empty().environment(variables.chain(others)).load().unwrap();
    assert!(configuration.all().iter().all(|setting| setting.origin.level() == "default"));
}

#[test]
fn plain_numbers_are_milliseconds_in_original_options_only() {
    let tolerance = |loader: Loader| loader.load().unwrap().timing().tolerance.as_millis();
    let base = || Loader::empty().option("ttl", "60s");
    assert_eq!(tolerance(base().option("tolerance", 24_000_u32)), 24_000);
    assert_eq!(tolerance(base().option("tolerance", "24s")), 24_000);
    assert_eq!(tolerance(base().option("tolerance", std::time::Duration::from_secs(24))), 24_000);
}
