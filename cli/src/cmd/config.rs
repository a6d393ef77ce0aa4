//! `leasehold config` prints the settings.

use leasehold::configuration::{Kind, Setting};
use serde_json::{Map, Value, json};

use crate::args::ConfigArgs;
use crate::io::exit::Failure;
use crate::io::stdout::{print, print_json};
use crate::io::table::{Cell, columns, visible};
use crate::settings::configuration::CliConfiguration;
use crate::settings::keys;
use crate::store_choice::StoreChoice;

/// Prints every setting, its value and its source.
pub(crate) fn config(configuration: &CliConfiguration, args: &ConfigArgs) -> Result<u8, Failure> {
    let mut settings = configuration.all();
    // The library does not know the command line's default store.
    if let Some(store) = settings.iter_mut().find(|setting| setting.key == "store")
        && store.value.is_none()
    {
        let choice = StoreChoice::new(&configuration.library);
        store.value = choice.ok().map(|store| store.url().to_owned());
    }
    if args.json {
        print_json(&as_json(configuration, &settings))?;
    } else {
        print(&as_table(configuration, &settings))?;
    }
    Ok(0)
}

fn as_table(configuration: &CliConfiguration, settings: &[Setting]) -> String {
    let mut rows = vec![["SETTING", "VALUE", "FROM"].map(Cell::from)];
    rows.extend(settings.iter().map(|setting| {
        let value = setting.value.as_deref().map_or_else(|| "-".to_owned(), visible);
        [setting.key.into(), value.into(), visible(&setting.origin.to_string()).into()]
    }));
    let mut text = columns(&rows, false);
    for file in &configuration.library.files {
        text.push_str(&format!("read: {}\n", visible(&file.display().to_string())));
    }
    text
}

fn as_json(configuration: &CliConfiguration, settings: &[Setting]) -> Value {
    let settings: Map<_, _> = settings
        .iter()
        .map(|setting| {
            let mut fields = json!({
                "value": value(setting),
                "source": setting.origin.level(),
                "from": setting.origin.to_string(),
            });
            if let Some(span) = setting.duration {
                fields["ms"] = json!(span.as_secs_f64() * 1000.0);
            }
            (setting.key.to_owned(), fields)
        })
        .collect();
    let files: Vec<_> =
        configuration.library.files.iter().map(|file| file.display().to_string()).collect();
    json!({ "settings": settings, "files": files, "warnings": configuration.library.warnings })
}

fn value(setting: &Setting) -> Value {
    let Some(text) = &setting.value else { return Value::Null };
    match keys::all().find(|key| key.name == setting.key).map(|key| key.kind) {
        // The text of these values is also their JSON.
        Some(Kind::Count | Kind::Connections | Kind::Switch) => {
            text.parse().unwrap_or_else(|_| json!(text))
        }
        _ => json!(text),
    }
}
