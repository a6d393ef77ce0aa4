//! A measurement results in a table. The reports are made of tables.

use serde::Serialize;

/// A table has one row for each contender or setting.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Table {
    /// This is the name of the measurement.
    pub(crate) title: String,
    /// This says what the first column has, such as `contender`.
    pub(crate) first_column: String,
    /// Each row has a value for each of these columns.
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    /// The values of the slices, of which a plot is made, have this unit.
    pub(crate) slices_unit: Unit,
}

/// A column has one unit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) unit: Unit,
}

/// A row has the values of one contender or setting.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// `None` stands for an unknown value.
    pub(crate) values: Vec<Option<f64>>,
    /// These are the values of the slices.
    pub(crate) slices: Vec<f64>,
}

/// A unit says how a value is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Count,
    Kibibytes,
    Micros,
    Millis,
    PerSecond,
    Percent,
    Ratio,
}

impl Unit {
    /// Returns the text for a value with its unit.
    pub(crate) fn format(self, value: f64) -> String {
        let digits = match value.abs() {
            size if size >= 100.0 || value == 0.0 => 0,
            size if size >= 10.0 => 1,
            _ => 2,
        };
        let number = format!("{value:.digits$}");
        match self.suffix() {
            "" => number,
            suffix => format!("{number} {suffix}"),
        }
    }

    /// Returns the text after a number.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::Kibibytes => "KiB",
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::PerSecond => "/s",
            Self::Percent => "%",
            Self::Ratio => "×",
        }
    }
}

impl Table {
    pub(crate) fn new(title: &str, first_column: &str, columns: &[(&str, Unit)]) -> Self {
        let column = |(name, unit): &(&str, Unit)| Column { name: (*name).to_owned(), unit: *unit };
        Self {
            title: title.to_owned(),
            first_column: first_column.to_owned(),
            columns: columns.iter().map(column).collect(),
            rows: Vec::new(),
            slices_unit: columns.first().map_or(Unit::Count, |(_, unit)| *unit),
        }
    }

    /// Adds a row. The slices have the unit of the first column.
    pub(crate) fn add(&mut self, name: &str, values: Vec<Option<f64>>, slices: Vec<f64>) {
        self.rows.push(Row { name: name.to_owned(), values, slices });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_digits_and_their_unit() {
        assert_eq!(Unit::Micros.format(1234.2), "1234 µs");
        assert_eq!(Unit::Millis.format(12.34), "12.3 ms");
        assert_eq!(Unit::Ratio.format(1.046), "1.05 ×");
        assert_eq!(Unit::Count.format(0.0), "0");
    }
}
