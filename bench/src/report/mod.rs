//! Writes the results: Markdown for people, JSON for programs, and plots.

mod markdown;
mod plot;
mod results;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

pub(crate) use results::{Results, ServerResults};

/// Writes all reports into that folder.
pub(crate) fn write(results: &Results, folder: &Path) -> Result<()> {
    let file = |name: &str| folder.join(name);
    let save = |name: &str, text: String| {
        fs::write(file(name), text).with_context(|| format!("cannot write {name}"))
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    save("results.json", format!("{}\n", serde_json::to_string_pretty(results)?))?;
    save("results.md", markdown::page(results))?;
    for server in &results.servers {
        for table in &server.tables {
            if let Some(picture) = plot::box_plot(table) {
                save(&plot::file_name(&server.name, &table.title), picture)?;
            }
        }
    }
    Ok(())
}

/// Returns the tables of one server as Markdown, to be shown during a run.
pub(crate) fn tables(server: &ServerResults) -> String {
    markdown::server(server)
}
