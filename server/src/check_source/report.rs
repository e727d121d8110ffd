//! What is found, in lines: facts first, problems behind them, and what they come to.

/// What is found so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    lines: Vec<String>,
    problems: Vec<String>,
}

impl Report {
    /// A fact, under a heading.
    pub(super) fn say(&mut self, heading: &str, text: impl AsRef<str>) {
        let text = one_line(text.as_ref());
        self.lines.push(format!("{heading}: {text}"));
    }

    /// What stands in the way, and what to do about it.
    pub(super) fn problem(&mut self, what: impl AsRef<str>, remedy: impl AsRef<str>) {
        let (what, remedy) = (one_line(what.as_ref()), one_line(remedy.as_ref()));
        self.problems.push(format!("problem: {what}; do: {remedy}"));
    }

    /// Whether anything stands in the way.
    pub(super) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// All of it.
    pub(super) fn text(&self) -> String {
        let outcome = match self.problems.len() {
            0 => "outcome: nothing stands in the way".to_owned(),
            1 => "outcome: 1 problem".to_owned(),
            count => format!("outcome: {count} problems"),
        };
        let lines = self.lines.iter().chain(&self.problems).chain(std::iter::once(&outcome));
        lines.map(|line| format!("{line}\n")).collect()
    }
}

/// What a server says may hold anything: a terminal is not to obey it.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Bytes as a person reads them.
pub(super) fn bytes(count: u64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{count} bytes"),
        _ => format!("{value:.1} {}", units[unit]),
    }
}

/// Seconds as a person reads them.
pub(super) fn seconds(count: u64) -> String {
    match count {
        0..120 => format!("{count} s"),
        120..7200 => format!("{} min", count / 60),
        7200..172_800 => format!("{} h", count / 3600),
        _ => format!("{} d", count / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_ends_with_what_it_comes_to() {
        let mut report = Report::default();
        report.say("keys", "12\n");
        assert!(!report.has_problems());
        assert_eq!(report.text(), "keys: 12?\noutcome: nothing stands in the way\n");
        report.problem("it is \x1b[31mbad", "mend it");
        assert!(report.has_problems());
        let text = "keys: 12?\nproblem: it is ?[31mbad; do: mend it\noutcome: 1 problem\n";
        assert_eq!(report.text(), text);
    }

    #[test]
    fn figures_are_written_for_persons() {
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(1_048_576), "1.0 MB");
        assert_eq!(bytes(123_456_789_012), "123.5 GB");
        assert_eq!(
            [seconds(5), seconds(600), seconds(7200), seconds(200_000)],
            ["5 s", "10 min", "2 h", "2 d"]
        );
    }
}
