//! Samples of two columns, and how they are shown.

use std::fmt;

/// The repeats of one figure.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds one repeat. What is no number is left out.
    pub fn push(&mut self, value: f64) {
        if value.is_finite() {
            self.0.push(value);
            self.0.sort_by(f64::total_cmp);
        }
    }

    /// The middle one; of an even number, the mean of the middle two.
    pub fn median(&self) -> Option<f64> {
        let middle = self.0.len() / 2;
        match self.0.len() {
            0 => None,
            length if length % 2 == 1 => Some(self.0[middle]),
            _ => Some((self.0[middle - 1] + self.0[middle]) / 2.0),
        }
    }

    /// The smallest and the largest.
    pub fn spread(&self) -> Option<(f64, f64)> {
        Some((*self.0.first()?, *self.0.last()?))
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match (self.median(), self.spread()) {
            (Some(median), Some((low, high))) => {
                format!("{} [{}..{}]", short(median), short(low), short(high))
            }
            _ => "-".into(),
        };
        f.pad(&text)
    }
}

/// Three significant digits, or whole numbers from 1000 on.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Figures of two columns, in the order in which they were first seen.
#[derive(Clone, Debug)]
pub struct Table {
    columns: [String; 2],
    rows: Vec<(String, [Samples; 2])>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: [String; 2]) -> Table {
        Table { columns, rows: Vec::new() }
    }

    /// Adds one repeat of the figure `name` in a column.
    pub fn push(&mut self, name: &str, column: usize, value: f64) {
        let row = match self.rows.iter().position(|(row, _)| row == name) {
            Some(row) => row,
            None => {
                self.rows.push((name.to_owned(), Default::default()));
                self.rows.len() - 1
            }
        };
        self.rows[row].1[column].push(value);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(6);
        let [left, right] = &self.columns;
        writeln!(f, "| {:name$} | {left:>26} | {right:>26} | ratio |", "figure")?;
        let (dashes, width) = ("", name + 2);
        writeln!(f, "|{dashes:-<width$}|{0:->28}|{0:->28}|------:|", ":")?;
        for (row, [left, right]) in &self.rows {
            let ratio = match (left.median(), right.median()) {
                // A difference may be nothing, and a ratio to nothing says nothing.
                (Some(left), Some(right)) if left.abs() > 1e-9 => format!("{:.2}", right / left),
                _ => "-".into(),
            };
            writeln!(f, "| {row:name$} | {left:>26} | {right:>26} | {ratio:>5} |")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_its_median_with_the_spread() {
        let mut samples = Samples::default();
        assert_eq!(samples.to_string(), "-");
        for (value, text) in [
            (3.0, "3.00 [3.00..3.00]"),
            (1.0, "2.00 [1.00..3.00]"),
            (f64::NAN, "2.00 [1.00..3.00]"),
            (250.4, "3.00 [1.00..250]"),
        ] {
            samples.push(value);
            assert_eq!(samples.to_string(), text);
        }
    }

    #[test]
    fn the_ratio_is_the_second_column_by_the_first() {
        let mut table = Table::new(["redis-server".into(), "damselfly".into()]);
        table.push("CPU us", 0, 4.0);
        table.push("CPU us", 1, 1.0);
        table.push("sync s", 1, 1.0);
        table.push("difference", 0, 1e-16);
        table.push("difference", 1, 0.2);
        let text = table.to_string();
        let row = |name: &str| text.lines().find(|line| line.contains(name)).unwrap().to_owned();
        assert!(row("CPU us").ends_with("|  0.25 |"), "{text}");
        assert!(row("sync s").ends_with("|     - |"), "{text}");
        assert!(row("difference").ends_with("|     - |"), "{text}");
        let lengths: Vec<usize> = text.lines().map(str::len).collect();
        assert!(lengths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
    }
}
