//! What snapshot files are called.

use crate::types::Millis;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

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

/// What the name of the journals' tail has behind the snapshot's.
pub const TAIL: &str = ".tail";

/// The ending that parts keep, where the setting has it.
const ENDING: &str = ".rdb";

/// Names one snapshot of several files among all that were ever written: as 16 hex digits, also in its parts' names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SaveId(pub u64);

impl fmt::Display for SaveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl SaveId {
    /// The one that is written so, and not otherwise.
    pub fn read(text: &str) -> Option<SaveId> {
        let id = SaveId(u64::from_str_radix(text, 16).ok()?);
        (id.to_string() == text).then_some(id)
    }
}

/// Where a part of the snapshot at `path` stands: beside it, as `dump-0123456789abcdef-0003.rdb`.
pub fn part(path: &Path, id: SaveId, number: usize) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (stem, ending) = parted(&name);
    path.with_file_name(format!("{stem}-{id}-{number:04}{ending}"))
}

/// A name's ending apart, where it has the one that parts keep.
fn parted(name: &str) -> (&str, &str) {
    name.strip_suffix(ENDING).map_or((name, ""), |stem| (stem, ENDING))
}

/// Of a part of a snapshot that the setting could have named: which file that is, and which save of it.
pub fn part_of(setting: &str, name: &str) -> Option<(String, SaveId)> {
    let (_, ending) = parted(setting);
    let (stem, id) = part_read(name.strip_suffix(ending)?)?;
    let whole = format!("{stem}{ending}");
    is_ours(setting, &whole).then_some((whole, id))
}

/// What a part's name without its ending says.
fn part_read(name: &str) -> Option<(&str, SaveId)> {
    let (rest, number) = name.rsplit_once('-')?;
    let (stem, id) = rest.rsplit_once('-')?;
    let is_number = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    Some((stem, SaveId::read(id)?)).filter(|_| is_number)
}

/// Why no snapshot can be written under this name, in one file or in parts, if none can.
pub fn refusal(name: &str, in_parts: bool) -> Option<&'static str> {
    /// Of a name, on most file systems.
    const BYTES_MAX: usize = 255;
    // Once snapshots are called otherwise, this one would be removed as something left over.
    if part_read(parted(name).0).is_some() {
        return Some("dbfilename is like the name of a part of a snapshot: choose another one");
    }
    // The longest of those beside it.
    let longest = match in_parts {
        true => part(Path::new(name), SaveId(0), 0).as_os_str().len(),
        false => name.len() + TAIL.len(),
    };
    (longest > BYTES_MAX).then_some("dbfilename is too long: files beside it have longer names")
}

/// The parts among `names` that belong to no snapshot: those beside the file `newest` that are not of the save `kept`,
/// and those of files that are not there.
pub fn left_over<'a>(
    setting: &str,
    names: &'a [String],
    newest: &str,
    kept: Option<SaveId>,
) -> Vec<&'a str> {
    let is_left = |name: &&str| match part_of(setting, name) {
        Some((whole, id)) if whole == newest => kept != Some(id),
        Some((whole, _)) => names.binary_search(&whole).is_err(),
        None => false,
    };
    names.iter().map(String::as_str).filter(is_left).collect()
}

/// The save of several files whose parts are being written; 0 while there is none.
static PARTS: AtomicU64 = AtomicU64::new(0);

/// Parts of this save are unfinished from now on; of none, if it is none.
pub(super) fn parts_begin(id: Option<SaveId>) {
    PARTS.store(id.map_or(0, |id| id.0), Ordering::Release);
}

/// Where a snapshot is written before it has its name: beside it, so that renaming is all there is to do.
pub(super) fn temporary(path: &Path, number: u64) -> PathBuf {
    let pid = std::process::id();
    let temp = path.with_file_name(format!("temp-{pid}-{number}.rdb"));
    // Somebody may want the file to be called just so.
    if temp == path { path.with_file_name(format!("temp-{pid}-{number}-0.rdb")) } else { temp }
}

/// What a number has before it that is of a copy for a follower.
const OF_COPY: &str = "copy-";

/// The name that the file of such a copy has for a moment.
pub fn of_copy(number: u64) -> String {
    format!("temp-{}-{OF_COPY}{number}.rdb", std::process::id())
}

/// Whether a file of this name is one that this process has not finished, or has not removed.
pub fn is_unfinished(name: &str) -> bool {
    let parts = SaveId(PARTS.load(Ordering::Acquire));
    if parts.0 != 0 && name.contains(&format!("-{parts}-")) {
        return true;
    }
    let rest = name.strip_prefix("temp-");
    let rest = rest.and_then(|rest| rest.strip_suffix(ENDING).or(rest.strip_suffix(TAIL)));
    let pid = std::process::id().to_string();
    let number = rest.and_then(|rest| rest.strip_prefix(&pid)?.strip_prefix('-'));
    let number = number.map(|rest| rest.strip_prefix(OF_COPY).unwrap_or(rest));
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
    fn no_snapshot_is_called_as_what_stands_beside_one_or_so_that_nothing_could() {
        let long = |bytes: usize| "d".repeat(bytes - ENDING.len()) + ENDING;
        for (name, in_parts, expected) in [
            ("dump.rdb", true, None),
            ("dump-0123456789abcdef-0000.rdb", false, Some("part")),
            ("dump-0123456789abcdef-0000", true, Some("part")),
            ("dump-0123456789abcdef-000.rdb", false, None),
            ("dump-0123456789abcdeF-0000.rdb", false, None),
            (&long(233), true, None),
            (&long(234), true, Some("too long")),
            (&long(250), false, None),
            (&long(251), false, Some("too long")),
        ] {
            let refusal = refusal(name, in_parts);
            assert_eq!(refusal.is_some(), expected.is_some(), "{name}: {refusal:?}");
            let expected = expected.unwrap_or_default();
            assert!(refusal.unwrap_or_default().contains(expected), "{name}: {refusal:?}");
        }
    }

    #[test]
    fn a_file_under_way_is_never_the_one_that_it_replaces() {
        let wanted = PathBuf::from(format!("/data/temp-{}-7.rdb", std::process::id()));
        assert_ne!(temporary(&wanted, 7), wanted);
        assert_eq!(temporary(Path::new("/data/dump.rdb"), 7), wanted);
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(is_unfinished(&name(&wanted)) && is_unfinished(&name(&temporary(&wanted, 7))));
        assert!(is_unfinished(&format!("temp-{}-0.tail", std::process::id())));
        assert!(is_unfinished(&of_copy(3)));
        for other in ["temp-0-7.rdb", "dump.rdb", "temp-7.rdb"] {
            assert!(!is_unfinished(other), "{other}");
        }
        let part = "dump-00000000000000aa-0001.rdb";
        for (under_way, expected) in
            [(Some(SaveId(0xaa)), true), (Some(SaveId(0xab)), false), (None, false)]
        {
            parts_begin(under_way);
            assert_eq!(is_unfinished(part), expected, "{under_way:?}");
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
    fn a_part_belongs_to_the_snapshot_whose_name_it_has() {
        let id = SaveId(0x0123_4567_89ab_cdef);
        let named = |whole: &str| {
            let part = part(&Path::new("/data").join(whole), id, 7);
            part.file_name().unwrap().to_str().unwrap().to_owned()
        };
        for (setting, whole, part) in [
            ("dump.rdb", "dump.rdb", "dump-0123456789abcdef-0007.rdb"),
            ("dump", "dump", "dump-0123456789abcdef-0007"),
            (
                "d-{timestamp}.rdb",
                "d-2026-11-28T23-10-05.rdb",
                "d-2026-11-28T23-10-05-0123456789abcdef-0007.rdb",
            ),
        ] {
            assert_eq!(named(whole), part);
            assert_eq!(part_of(setting, part), Some((whole.to_owned(), id)));
            assert!(!is_ours(setting, part), "it is no snapshot by itself");
        }
        for other in [
            "dump.rdb",
            "dump-0123456789abcdef-0007.rdb.old",
            "dump-0123456789ABCDEF-0007.rdb",
            "dump-+123456789abcdef-0007.rdb",
            "dump-123456789abcdef-0007.rdb",
            "dump-0123456789abcdef-007.rdb",
            "dump-0123456789abcdef-+007.rdb",
            "dump-x-0123456789abcdef-0007.rdb",
            "other-0123456789abcdef-0007.rdb",
            "0123456789abcdef-0007.rdb",
        ] {
            assert_eq!(part_of("dump.rdb", other), None, "{other}");
        }
    }

    #[test]
    fn parts_that_no_snapshot_names_are_left_over_and_nothing_else_is() {
        let (old, new) = ("00000000000000aa", "00000000000000bb");
        let check = |setting: &str, newest: &str, names: &[&str], kept, expected: &[&str]| {
            let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            names.sort_unstable();
            assert_eq!(left_over(setting, &names, newest, kept), expected);
        };
        let part = |stem: &str, id: &str| format!("{stem}-{id}-0000.rdb");
        let (was, is) = (part("dump", old), part("dump", new));
        let others = part("others", old);
        let names = ["dump.rdb", &was, &is, &others, "dump.rdb.tail", "dump-me-0000.rdb"];
        check("dump.rdb", "dump.rdb", &names, Some(SaveId(0xbb)), &[&was]);
        check("dump.rdb", "dump.rdb", &names, None, &[&was, &is]);
        // With a time in the name each is of its own file, which is there, or never came to be.
        let times = ["d-2026-11-28T23-10-05", "d-2026-11-28T23-10-06", "d-2026-11-28T23-10-07"];
        let whole = times.map(|time| format!("{time}.rdb"));
        let parts = times.map(|time| part(time, old));
        let names = [&whole[0], &whole[2], &parts[0], &parts[1], &parts[2]].map(String::as_str);
        check("d-{timestamp}.rdb", &whole[2], &names, Some(SaveId(0xaa)), &[&parts[1]]);
        check("d-{timestamp}.rdb", &whole[2], &names, None, &[&parts[1], &parts[2]]);
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
