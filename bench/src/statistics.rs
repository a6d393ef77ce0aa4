//! Medians and quantiles.

use std::time::Duration;

/// Returns the value below which that share of the values lies, or `None` if there is none.
pub(crate) fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let at = share * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * at.fract())
}

/// Returns the median, or `None` if there are no values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// Returns the median and the quartiles of the slices' medians, and the 99th percentile of all
/// values.
pub(crate) fn of_slices(slices: &[Vec<f64>]) -> [Option<f64>; 4] {
    let medians = medians(slices);
    let all = slices.concat();
    [median(&all), quantile(&medians, 0.25), quantile(&medians, 0.75), quantile(&all, 0.99)]
}

/// Returns the median of each slice.
pub(crate) fn medians(slices: &[Vec<f64>]) -> Vec<f64> {
    slices.iter().filter_map(|slice| median(slice)).collect()
}

/// Returns a duration in microseconds.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Returns a duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Returns the quotient, or `None` if it cannot be computed.
pub(crate) fn ratio(value: Option<f64>, to: Option<f64>) -> Option<f64> {
    Some(value? / to.filter(|to| *to > 0.0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(median(&values), Some(2.5));
        assert_eq!(quantile(&values, 0.0), Some(1.0));
        assert_eq!(quantile(&values, 1.0), Some(4.0));
        assert_eq!(quantile(&values, 0.25), Some(1.75));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn slices_without_values_have_no_median() {
        let slices = [vec![1.0, 3.0], vec![], vec![5.0]];
        assert_eq!(medians(&slices), [2.0, 5.0]);
        assert_eq!(of_slices(&slices)[0], Some(3.0));
        assert_eq!(of_slices(&[]), [None; 4]);
    }

    #[test]
    fn a_ratio_to_nothing_is_unknown() {
        assert_eq!(ratio(Some(3.0), Some(2.0)), Some(1.5));
        assert_eq!(ratio(Some(3.0), Some(0.0)), None);
        assert_eq!(ratio(None, Some(2.0)), None);
    }
}
