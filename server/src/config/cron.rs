//! Minutes, as cron names them: `minute hour day month weekday`, in UTC.
//!
//! ```text
//!   0 3 * * *          each day at three           */15 * * * *      each quarter of an hour
//!   0 3 1,15 * *       twice a month               30 2 * * mon-fri  on working days
//! ```
//!
//! A field is `*`, numbers, ranges and lists of them, each with a step (`/`); months and weekdays may be named by
//! three letters, and Sunday is 0 or 7. As in crontab, where neither day nor weekday is `*`, one of the two is enough.

use engine::snapshot::name::date;
use engine::types::Millis;
use std::str::FromStr;

/// Minutes of the calendar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both the day and the weekday are said.
    either: bool,
}

/// What stands in a field.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// Words for its numbers, from the least on.
    words: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, words: &[] },
    Field { name: "hour", min: 0, max: 23, words: &[] },
    Field { name: "day", min: 1, max: 31, words: &[] },
    Field {
        name: "month",
        min: 1,
        max: 12,
        words: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        name: "weekday",
        min: 0,
        max: 7,
        words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Cron, String> {
        let parts: Vec<&str> = text.split_ascii_whitespace().collect();
        let Ok(parts) = <[&str; 5]>::try_from(parts) else {
            return Err("five fields are needed: minute hour day month weekday".to_owned());
        };
        let mut sets = [0; 5];
        for ((set, field), part) in sets.iter_mut().zip(&FIELDS).zip(parts) {
            *set = field.read(part).ok_or_else(|| format!("'{part}' is no {}", field.name))?;
        }
        let [minutes, hours, days, months, weekdays] = sets;
        let is_said = |part: &str| !part.starts_with(['*', '?']);
        let either = is_said(parts[2]) && is_said(parts[4]);
        let cron = Cron {
            minutes,
            hours,
            days,
            months,
            // Seven is Sunday too.
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            either,
        };
        match cron.comes() {
            true => Ok(cron),
            false => Err("no month has such a day".to_owned()),
        }
    }
}

impl Field {
    /// The numbers that are said, as bits.
    fn read(&self, text: &str) -> Option<u64> {
        text.split(',').try_fold(0, |set, part| Some(set | self.part(part)?))
    }

    fn part(&self, text: &str) -> Option<u64> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => {
                (range, Some(step.parse::<u32>().ok().filter(|step| *step > 0)?))
            }
            None => (text, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => (self.min, self.max),
            Some((from, to)) => (self.number(from)?, self.number(to)?),
            None => {
                let from = self.number(range)?;
                // `5/15` is from the fifth on.
                (from, if step.is_some() { self.max } else { from })
            }
        };
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        (from <= to).then(|| (from..=to).step_by(step).fold(0, |set, number| set | 1 << number))
    }

    fn number(&self, text: &str) -> Option<u32> {
        let word = self.words.iter().position(|word| word.eq_ignore_ascii_case(text));
        let named = word.and_then(|at| u32::try_from(at).ok()).map(|at| self.min + at);
        let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = named.or_else(|| text.parse().ok().filter(|_| is_digits))?;
        (self.min..=self.max).contains(&number).then_some(number)
    }
}

impl Cron {
    /// Whether it names the minute in which `now` is.
    pub fn is_at(&self, now: Millis) -> bool {
        let minutes = now.0 / 60_000;
        let (days, minute) = (minutes / 1440, minutes % 1440);
        let (_, month, day) = date(days as i64);
        let has = |set: u64, number: u64| set >> number & 1 == 1;
        // The first of 1970 was a Thursday.
        let (is_day, is_weekday) = (has(self.days, day as u64), has(self.weekdays, (days + 4) % 7));
        let is_date = if self.either { is_day || is_weekday } else { is_day && is_weekday };
        has(self.minutes, minute % 60)
            && has(self.hours, minute / 60)
            && has(self.months, month as u64)
            && is_date
    }

    /// Whether there is any such day: the thirtieth of February is none.
    fn comes(&self) -> bool {
        const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let has_day = |(index, longest): (usize, &u32)| {
            self.months >> (index + 1) & 1 == 1 && self.days & ((1 << (longest + 1)) - 1) != 0
        };
        self.either || LONGEST.iter().enumerate().any(has_day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minute of the year 2026, which began on a Thursday.
    fn at(day_of_year: u64, hour: u64, minute: u64) -> Millis {
        let days = 20_454 + day_of_year - 1;
        Millis(((days * 24 + hour) * 60 + minute) * 60_000 + 31_000)
    }

    #[test]
    fn minutes_are_those_of_crontab() {
        for (text, minute, expected) in [
            ("* * * * *", at(1, 0, 0), true),
            ("0 3 * * *", at(9, 3, 0), true),
            ("0 3 * * *", at(9, 3, 1), false),
            ("0 3 * * *", at(9, 4, 0), false),
            ("*/15 * * * *", at(1, 1, 45), true),
            ("*/15 * * * *", at(1, 1, 50), false),
            ("5/20 * * * *", at(1, 1, 45), true),
            ("5/20 * * * *", at(1, 1, 20), false),
            ("10-20/5,59 * * * *", at(1, 1, 20), true),
            ("10-20/5,59 * * * *", at(1, 1, 59), true),
            ("10-20/5,59 * * * *", at(1, 1, 11), false),
            ("0 0 1 jan *", at(1, 0, 0), true),
            ("0 0 1 FEB *", at(32, 0, 0), true),
            ("0 0 1 2 *", at(1, 0, 0), false),
            ("0 0 * * thu", at(1, 0, 0), true),
            ("0 0 * * 0", at(4, 0, 0), true),
            ("0 0 * * 7", at(4, 0, 0), true),
            ("0 0 * * mon-fri", at(3, 0, 0), false),
            ("0 0 ? * mon-fri", at(2, 0, 0), true),
            // One of the two is enough where both are said.
            ("0 0 15 * thu", at(1, 0, 0), true),
            ("0 0 15 * thu", at(15, 0, 0), true),
            ("0 0 15 * thu", at(2, 0, 0), false),
            ("0 0 */2 * thu", at(1, 0, 0), true),
            ("0 0 */2 * fri", at(2, 0, 0), false),
        ] {
            let cron: Cron = text.parse().expect(text);
            assert_eq!(cron.is_at(minute), expected, "{text} at {minute:?}");
        }
    }

    #[test]
    fn what_names_no_minute_is_refused() {
        for text in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "5-1 * * * *",
            "a * * * *",
            "1, * * * *",
            "-1 * * * *",
            "+1 * * * *",
            "* * 30 2 *",
            "* * 31 4,6 *",
            "*/x * * * *",
            "@daily",
            "* * * jann *",
        ] {
            assert!(text.parse::<Cron>().is_err(), "{text}");
        }
    }
}
