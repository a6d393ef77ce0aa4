//! The results as a page of Markdown.

use super::plot;
use super::results::{Results, ServerResults};
use crate::table::{Row, Table};

/// Returns the whole page.
pub(super) fn page(results: &Results) -> String {
    let machine = &results.machine;
    let head = format!(
        "# Leasehold {}\n\n{} cores of {}, {} of memory, {}; {} slices\n\n",
        results.version,
        machine.cores,
        machine.processor,
        machine.memory,
        machine.system,
        results.slices,
    );
    let servers = results.servers.iter().map(server);
    head + &servers.collect::<Vec<_>>().join("\n")
}

/// Returns the section of one server.
pub(super) fn server(results: &ServerResults) -> String {
    let mut text = format!("## {}\n", results.name);
    for table in &results.tables {
        text += &format!("\n### {}\n\n{}", table.title, rows(table));
        if plot::box_plot(table).is_some() {
            let file = plot::file_name(&results.name, &table.title);
            text += &format!("\n![{} on {}]({file})\n", table.title, results.name);
        }
    }
    text
}

fn rows(table: &Table) -> String {
    let names = table.columns.iter().map(|column| format!(" {} |", column.name));
    let head = format!("| {} |{}\n", table.first_column, names.collect::<String>());
    let rule = format!("|---|{}\n", "--:|".repeat(table.columns.len()));
    let rows = table.rows.iter().map(|it| row(table, it));
    head + &rule + &rows.collect::<String>()
}

fn row(table: &Table, row: &Row) -> String {
    let value = |(at, value): (usize, &Option<f64>)| {
        let unit = table.columns.get(at).map(|column| column.unit);
        let text = unit.zip(*value).map(|(unit, value)| unit.format(value));
        format!(" {} |", text.unwrap_or_default())
    };
    let values: String = row.values.iter().enumerate().map(value).collect();
    format!("| {} |{values}\n", row.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Unit;

    #[test]
    fn a_table_shows_units_and_leaves_unknown_values_empty() {
        let columns = [("median", Unit::Micros), ("to the floor's", Unit::Ratio)];
        let mut table = Table::new("Acquire", "contender", &columns);
        table.add("floor", vec![Some(72.0), None], Vec::new());
        let expected = "| contender | median | to the floor's |\n|---|--:|--:|\n\
             | floor | 72.0 µs |  |\n";
        assert_eq!(rows(&table), expected);
    }
}
