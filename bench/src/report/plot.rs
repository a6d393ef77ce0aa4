//! A box plot of the slices of a table, as SVG.
//!
//! A box reaches from the lower to the upper quartile, with a line at the median; the whiskers
//! reach to the lowest and the highest slice. The scale begins at zero, and is logarithmic if the medians
//! differ by more than a factor of ten.

use crate::statistics::quantile;
use crate::table::{Row, Table};

const LABELS: f64 = 260.0;
const WIDTH: f64 = 560.0;
const ROW: f64 = 28.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 30.0;

/// Returns the name of a plot's file.
pub(super) fn file_name(server: &str, title: &str) -> String {
    let plain = |character: char| match character.is_ascii_alphanumeric() {
        true => character.to_ascii_lowercase(),
        false => '-',
    };
    format!("{server}-{}.svg", title.chars().map(plain).collect::<String>())
}

/// Returns the plot, or `None` if the table has no slices.
pub(super) fn box_plot(table: &Table) -> Option<String> {
    let boxes: Vec<_> = table.rows.iter().filter_map(BoxOf::new).collect();
    let scale = Scale::of(&boxes)?;
    let height = TOP + ROW * boxes.len() as f64 + BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{height}\" \
         viewBox=\"0 0 {0} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"8\" y=\"20\" font-size=\"14\">{1}</text>\n",
        LABELS + WIDTH + 40.0,
        escape(&table.title),
    );
    for tick in scale.ticks() {
        let (x, end) = (scale.x(tick), height - BOTTOM);
        svg += &line(x, TOP, x, end, "#ddd");
        let label = escape(&table.slices_unit.format(tick));
        let y = height - 10.0;
        svg += &format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{label}</text>\n");
    }
    for (at, of) in boxes.iter().enumerate() {
        svg += &of.draw(&scale, TOP + ROW * (at as f64 + 0.5));
    }
    Some(svg + "</svg>\n")
}

/// The five numbers of a box, in rising order.
struct BoxOf<'a> {
    name: &'a str,
    numbers: [f64; 5],
}

impl<'a> BoxOf<'a> {
    fn new(row: &'a Row) -> Option<Self> {
        let at = |share| quantile(&row.slices, share);
        let numbers = [at(0.0)?, at(0.25)?, at(0.5)?, at(0.75)?, at(1.0)?];
        Some(Self { name: &row.name, numbers })
    }

    fn draw(&self, scale: &Scale, y: f64) -> String {
        let [least, lower, median, upper, most] = self.numbers.map(|number| scale.x(number));
        let name = escape(self.name);
        let (top, width) = (y - 7.0, (upper - lower).max(1.0));
        let label_y = y + 4.0;
        let label_x = LABELS - 10.0;
        format!(
            "<text x=\"{label_x}\" y=\"{label_y:.1}\" text-anchor=\"end\">{name}</text>\n\
             {}<rect x=\"{lower:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"14\" \
             fill=\"#9cf\" stroke=\"#246\"/>\n{}",
            line(least, y, most, y, "#246"),
            line(median, y - 7.0, median, y + 7.0, "#024"),
        )
    }
}

/// A scale turns values into horizontal positions.
struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Scale {
    fn of(boxes: &[BoxOf<'_>]) -> Option<Self> {
        let all = || boxes.iter().flat_map(|of| of.numbers);
        let high = all().reduce(f64::max).filter(|high| *high > 0.0)?;
        let medians = || boxes.iter().map(|of| of.numbers[2]);
        let (least, most) = (medians().reduce(f64::min)?, medians().reduce(f64::max)?);
        let low = all().reduce(f64::min)?;
        let logarithmic = low > 0.0 && most > least * 10.0;
        if !logarithmic {
            return Some(Self { low: 0.0, high: high * 1.05, logarithmic });
        }
        let (low, high) = (low.log10().floor(), high.log10().ceil());
        Some(Self { low: 10_f64.powf(low), high: 10_f64.powf(high), logarithmic })
    }

    fn x(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value / self.low).log10() / (self.high / self.low).log10()
        } else {
            value / self.high
        };
        LABELS + share * WIDTH
    }

    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let decades = (self.high / self.low).log10().round() as i32;
            return (0..=decades).map(|decade| self.low * 10_f64.powi(decade)).collect();
        }
        (0..=5).map(|tick| self.high * f64::from(tick) / 5.0).collect()
    }
}

fn line(x1: f64, y1: f64, x2: f64, y2: f64, colour: &str) -> String {
    format!(
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Unit;

    fn table(slices: &[&[f64]]) -> Table {
        let mut table = Table::new("A & B", "contender", &[("median", Unit::Micros)]);
        for slices in slices {
            table.add("floor", vec![None], slices.to_vec());
        }
        table
    }

    #[test]
    fn a_table_without_slices_has_no_plot() {
        assert_eq!(box_plot(&table(&[])), None);
        assert_eq!(box_plot(&table(&[&[]])), None);
    }

    #[test]
    fn each_row_with_slices_has_a_box() {
        let svg = box_plot(&table(&[&[1.0, 2.0, 3.0], &[], &[2.0, 4.0]])).unwrap();
        assert_eq!(svg.matches("fill=\"#9cf\"").count(), 2);
        assert!(svg.contains("A &amp; B") && svg.ends_with("</svg>\n"), "{svg}");
    }

    #[test]
    fn values_that_differ_much_have_a_logarithmic_scale() {
        let boxes =
            [BoxOf { name: "a", numbers: [2.0; 5] }, BoxOf { name: "b", numbers: [50.0; 5] }];
        let scale = Scale::of(&boxes).unwrap();
        assert_eq!(scale.ticks(), [1.0, 10.0, 100.0]);
        assert!((scale.x(10.0) - (LABELS + WIDTH / 2.0)).abs() < 0.001);
    }

    #[test]
    fn a_file_is_named_after_server_and_measurement() {
        assert_eq!(file_name("redis", "64 tasks"), "redis-64-tasks.svg");
    }
}
