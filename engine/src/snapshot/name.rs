//! What snapshot files are called.

use crate::types::Millis;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What stands for the time in a name.
pub const TIMESTAMP: &str = "{timestamp}";

/// Days from the first of 1970 to the end of what four digits of a year say.
const DAYS_MAX: i64 = 2_932_897;

/// The name of a snapshot that is made now: `{timestamp}` in the setting is the time, in UTC.
pub fn file_name(setting: &str, now: Millis) -> String {
    setting.replace(TIMESTAMP, &timestamp(now))
}

/// The name of one that comes after `newest`, where `name` would not: it is the second one of a second, or the clock has
/// been set back since, and a start would take the older data for the newest. Nothing where `name` will do.
pub fn behind(setting: &str, newest: &str, name: &str) -> Option<String> {
    if newest < name || !is_ours(setting, newest) {
        return None;
    }
    let time = newest.get(setting.find(TIMESTAMP)?..)?;
    let part = |range: Range<usize>| time.get(range)?.parse::<u64>().ok();
    let day = (part(0..4)? as i64, part(5..7)? as i64, part(8..10)? as i64);
    let (hour, minute, second) = (part(11..13)?, part(14..16)?, part(17..19)?);
    let (mut days, mut above) = (0, DAYS_MAX);
    while above - days > 1 {
        let middle = (days + above) / 2;
        *(if date(middle) <= day { &mut days } else { &mut above }) = middle;
    }
    let seconds = days as u64 * 86_400 + hour * 3600 + minute * 60 + second;
    let behind = file_name(setting, Millis((seconds + 1) * 1000));
    Some(behind).filter(|behind| behind.as_str() > newest)
}

/// Whether a file's name is one of those that the setting makes. With a time in them, the last in order is the
/// newest.
pub fn is_ours(setting: &str, name: &str) -> bool {
    let example = timestamp(Millis(0));
    let fits = |have: &str| {
        have.len() == example.len()
            && have.bytes().zip(example.bytes()).all(|(have, like)| match like {
                b'0'..=b'9' => have.is_ascii_digit(),
                other => have == other,
            })
    };
    let Some(at) = setting.find(TIMESTAMP) else { return name == setting };
    // However often it stands there, it is one time.
    let time = name.get(at..at + example.len()).filter(|time| fits(time));
    time.is_some_and(|time| setting.replace(TIMESTAMP, time) == name)
}

/// Where a snapshot is written before it has its name: beside it, so that renaming is all there is to do.
pub(super) fn temporary(path: &Path, number: u64) -> PathBuf {
    let pid = std::process::id();
    let temp = path.with_file_name(format!("temp-{pid}-{number}.rdb"));
    // Somebody may want the file to be called just so.
    if temp == path { path.with_file_name(format!("temp-{pid}-{number}-0.rdb")) } else { temp }
}

/// Whether a file of this name is one that this process has not finished, or has not removed.
pub fn is_unfinished(name: &str) -> bool {
    let rest = name.strip_prefix("temp-");
    let rest = rest.and_then(|rest| rest.strip_suffix(".rdb").or(rest.strip_suffix(".tail")));
    let pid = std::process::id().to_string();
    let number = rest.and_then(|rest| rest.strip_prefix(&pid)?.strip_prefix('-'));
    number.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'))
}

/// A time as `2026-11-28T23-10-05`.
fn timestamp(Millis(now): Millis) -> String {
    let seconds = now / 1000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days as i64);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}")
}

/// Year, month and day so many days after the first of 1970, by counting in years that begin in March.
pub fn date(days: i64) -> (i64, i64, i64) {
    const DAYS_IN_400_YEARS: i64 = 146_097;
    let days = days + 719_468;
    let era = days.div_euclid(DAYS_IN_400_YEARS);
    let day_of_era = days.rem_euclid(DAYS_IN_400_YEARS);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_time_in_it_where_the_setting_says_so() {
        for (now, expected) in [
            (0, "dump-1970-01-01T00-00-00.rdb"),
            (951_782_400_000, "dump-2000-02-29T00-00-00.rdb"),
            (1_709_251_199_999, "dump-2024-02-29T23-59-59.rdb"),
            (1_795_907_405_000, "dump-2026-11-28T23-10-05.rdb"),
        ] {
            let name = file_name("dump-{timestamp}.rdb", Millis(now));
            assert_eq!(name, expected);
            assert!(is_ours("dump-{timestamp}.rdb", &name));
        }
        assert_eq!(file_name("dump.rdb", Millis(7)), "dump.rdb");
        let twice = "{timestamp}/{timestamp}";
        assert_eq!(file_name(twice, Millis(0)), "1970-01-01T00-00-00/1970-01-01T00-00-00");
    }

    #[test]
    fn a_file_under_way_is_never_the_one_that_it_replaces() {
        let wanted = PathBuf::from(format!("/data/temp-{}-7.rdb", std::process::id()));
        assert_ne!(temporary(&wanted, 7), wanted);
        assert_eq!(temporary(Path::new("/data/dump.rdb"), 7), wanted);
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(is_unfinished(&name(&wanted)) && is_unfinished(&name(&temporary(&wanted, 7))));
        assert!(is_unfinished(&format!("temp-{}-0.tail", std::process::id())));
        for other in ["temp-0-7.rdb", "dump.rdb", "temp-7.rdb"] {
            assert!(!is_unfinished(other), "{other}");
        }
    }

    /// After a clock was set back a start loaded what was older.
    #[test]
    fn a_name_comes_behind_the_newest_whatever_the_clock_says() {
        let setting = "d-{timestamp}.rdb";
        let named = |time: &str| setting.replace(TIMESTAMP, time);
        for (newest, now, expected) in [
            ("2026-11-28T23-10-05", "2026-11-28T23-10-05", Some("2026-11-28T23-10-06")),
            ("2026-11-28T23-10-05", "2026-11-28T23-10-06", None),
            ("2026-11-28T23-10-05", "2026-11-28T23-10-04", Some("2026-11-28T23-10-06")),
            ("2027-12-31T23-59-59", "1970-01-01T00-00-07", Some("2028-01-01T00-00-00")),
            ("2028-02-28T23-59-59", "2026-11-28T23-10-04", Some("2028-02-29T00-00-00")),
            ("9999-99-99T99-99-99", "2026-11-28T23-10-04", None),
        ] {
            let expected = expected.map(named);
            assert_eq!(behind(setting, &named(newest), &named(now)), expected, "{newest} {now}");
        }
        assert_eq!(behind("dump.rdb", "dump.rdb", "dump.rdb"), None);
        assert_eq!(behind(setting, "e.rdb", &named("2026-11-28T23-10-04")), None, "nobody's");
        assert_eq!(date(DAYS_MAX - 1), (9999, 12, 31));
    }

    #[test]
    fn a_file_is_ours_if_the_setting_could_have_named_it() {
        for (setting, name, expected) in [
            ("dump.rdb", "dump.rdb", true),
            ("dump.rdb", "dump2.rdb", false),
            ("dump-{timestamp}.rdb", "dump-.rdb", false),
            ("dump-{timestamp}.rdb", "dump-2026-11-28T23-10-0x.rdb", false),
            ("dump-{timestamp}.rdb", "dump-2026-11-28T23-10-05.rdb.old", false),
            ("{timestamp}", "2026-11-28T23-10-05", true),
            ("{timestamp}-{timestamp}", "2026-11-28T23-10-05-2026-11-28T23-10-05", true),
            ("{timestamp}-{timestamp}", "2026-11-28T23-10-05-2026-11-28T23-10-06", false),
            ("{timestamp}-{timestamp}", "2026-11-28T23-10-05-{timestamp}", false),
            ("temp-{timestamp}.rdb", "temp-4711-3.rdb", false),
            ("\u{e9}{timestamp}", "\u{e9}2026-11-28T23-10-05", true),
            ("e{timestamp}", "\u{e9}2026-11-28T23-10-05", false),
        ] {
            assert_eq!(is_ours(setting, name), expected, "{setting} {name}");
        }
    }
}
