//! Samples of several columns, how they are shown, and what they were to be.

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

/// What a column's median is to be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Goal {
    /// The column.
    pub of: usize,
    /// The column that it stands beside; none: the figure itself counts.
    pub beside: Option<usize>,
    /// At most so many times the other (or so much).
    pub most: f64,
}

/// Figures of several columns, in the order in which they were first seen.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<String>,
    /// Of which columns the ratio is shown: the first by the second.
    ratios: Vec<(usize, usize)>,
    rows: Vec<Line>,
}

#[derive(Clone, Debug)]
struct Line {
    name: String,
    samples: Vec<Samples>,
    goals: Vec<Goal>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: Vec<String>, ratios: &[(usize, usize)]) -> Table {
        Table { columns, ratios: ratios.to_vec(), rows: Vec::new() }
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds one repeat of the figure `name` in a column.
    pub fn push(&mut self, name: &str, column: usize, value: f64) {
        self.line(name).samples[column].push(value);
    }

    /// Says what the figure `name` is to be.
    pub fn aim(&mut self, name: &str, goals: &[Goal]) {
        self.line(name).goals = goals.to_vec();
    }

    fn line(&mut self, name: &str) -> &mut Line {
        let row = match self.rows.iter().position(|row| row.name == name) {
            Some(row) => row,
            None => {
                let samples = vec![Samples::default(); self.columns.len()];
                self.rows.push(Line { name: name.to_owned(), samples, goals: Vec::new() });
                self.rows.len() - 1
            }
        };
        &mut self.rows[row]
    }

    fn ratio(line: &Line, of: usize, by: usize) -> Option<f64> {
        // A difference may be nothing, and a ratio to nothing says nothing.
        let by = line.samples[by].median().filter(|by| by.abs() > 1e-9)?;
        Some(line.samples[of].median()? / by)
    }

    fn judge(&self, line: &Line, goal: &Goal) -> String {
        let (value, beside) = match goal.beside {
            None => (line.samples[goal.of].median(), String::new()),
            Some(other) => (Self::ratio(line, goal.of, other), format!(" {}", self.columns[other])),
        };
        let Some(value) = value else { return "-".into() };
        let verdict = if value <= goal.most { "met" } else { "MISSED" };
        format!("<= {}{beside}: {verdict}", short(goal.most))
    }

    /// The cells of a line behind its name.
    fn cells(&self, line: &Line, has_goals: bool) -> Vec<String> {
        let mut cells: Vec<String> = line.samples.iter().map(Samples::to_string).collect();
        cells.extend(self.ratios.iter().map(|(of, by)| {
            Self::ratio(line, *of, *by).map_or("-".into(), |ratio| format!("{ratio:.2}"))
        }));
        if has_goals {
            let goals: Vec<String> = line.goals.iter().map(|goal| self.judge(line, goal)).collect();
            cells.push(goals.join(", "));
        }
        cells
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_goals = self.rows.iter().any(|row| !row.goals.is_empty());
        let mut heading = self.columns.clone();
        let title = |of: &usize, by: &usize| match self.columns.len() {
            ..=2 => "ratio".into(),
            _ => format!("{} / {}", self.columns[*of], self.columns[*by]),
        };
        heading.extend(self.ratios.iter().map(|(of, by)| title(of, by)));
        if has_goals {
            heading.push("goal".into());
        }
        let name = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(6);
        let lines: Vec<_> =
            self.rows.iter().map(|row| (&row.name, self.cells(row, has_goals))).collect();
        let width = |place: usize| {
            let cells = lines.iter().map(|(_, cells)| cells[place].len());
            cells.chain([heading[place].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..heading.len()).map(width).collect();
        write!(f, "| {:name$} |", "figure")?;
        for (cell, width) in heading.iter().zip(&widths) {
            write!(f, " {cell:>width$} |")?;
        }
        writeln!(f)?;
        write!(f, "|{:-<width$}|", ":", width = name + 2)?;
        for width in &widths {
            write!(f, "{:->width$}|", ":", width = width + 2)?;
        }
        writeln!(f)?;
        for (row, cells) in &lines {
            write!(f, "| {row:name$} |")?;
            for (cell, width) in cells.iter().zip(&widths) {
                write!(f, " {cell:>width$} |")?;
            }
            writeln!(f)?;
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
        let mut table = Table::new(vec!["redis-server".into(), "damselfly".into()], &[(1, 0)]);
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

    #[test]
    fn goals_judge_a_column_beside_the_one_that_they_name() {
        let mut table =
            Table::new(["floor", "peer", "ours"].map(String::from).to_vec(), &[(2, 0), (2, 1)]);
        for (column, value) in [2.0, 4.0, 3.0].into_iter().enumerate() {
            table.push("GET", column, value);
        }
        let goal = |beside, most| Goal { of: 2, beside, most };
        table.aim("GET", &[goal(Some(0), 1.4), goal(Some(1), 1.0), goal(None, 3.0)]);
        table.push("idle", 2, 1.0);
        table.aim("idle", &[goal(Some(0), 1.0)]);
        let text = table.to_string();
        assert!(text.contains("<= 1.40 floor: MISSED, <= 1.00 peer: met, <= 3.00: met"), "{text}");
        assert!(text.contains("| ours / floor | ours / peer |"), "{text}");
        let lengths: Vec<usize> = text.lines().map(str::len).collect();
        assert!(lengths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
    }
}
