//! From a spelling to its setting.
//!
//! Dashes and underscores are one letter here. The names of all settings and their other spellings
//! are different from each other in this form; a test holds it so.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::setting::{Alias, Setting};
use super::{accepted, table};

/// A setting found by one of its names.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its place in the table.
    pub index: usize,
    /// The setting.
    pub setting: &'static Setting,
    /// The other spelling that was used, if it was not the name itself.
    pub alias: Option<&'static Alias>,
}

static INDEX: LazyLock<HashMap<String, Found>> = LazyLock::new(|| {
    let mut index = HashMap::new();
    for (place, setting) in settings().enumerate() {
        for alias in setting.aliases {
            index.insert(plain(alias.name), Found { index: place, setting, alias: Some(alias) });
        }
        // After the aliases, because `repl-timeout` style spellings may be the name itself.
        index.insert(plain(setting.name), Found { index: place, setting, alias: None });
    }
    index
});

/// Every setting, in the order of the manual: those with an effect first.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    table::SETTINGS.iter().chain(accepted::SETTINGS)
}

/// The setting of a spelling in lower case, whether with dashes or underscores.
pub fn find(spelling: &str) -> Option<Found> {
    INDEX.get(&plain(spelling)).copied()
}

fn plain(spelling: &str) -> String {
    spelling.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_means_one_setting_and_reads_well() {
        let mut owners: HashMap<String, &str> = HashMap::new();
        for setting in settings() {
            assert!(!setting.help.trim().is_empty(), "{} has no help text", setting.name);
            assert!(setting.help.is_ascii(), "{}", setting.name);
            let mut names = vec![setting.name];
            names.extend(setting.aliases.iter().map(|alias| alias.name));
            assert!(
                setting
                    .name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'),
                "{}",
                setting.name
            );
            names.dedup_by_key(|name| plain(name));
            for name in names {
                if let Some(other) = owners.insert(plain(name), setting.name) {
                    assert_eq!(other, setting.name, "{name} means two settings");
                }
                assert_eq!(find(name).map(|found| found.setting.name), Some(setting.name));
            }
        }
    }

    #[test]
    fn no_setting_can_be_taken_for_the_negation_of_another() {
        for setting in settings() {
            for prefix in ["no", "no_"] {
                let Some(rest) = setting.name.strip_prefix(prefix) else { continue };
                assert!(find(rest).is_none(), "--{} could be --no{rest}", setting.name);
            }
        }
    }

    #[test]
    fn every_default_is_read_written_and_read_again() {
        let values: Vec<_> = settings().map(Setting::default_value).collect();
        for (setting, value) in settings().zip(&values) {
            let text = value.to_string();
            assert_eq!(setting.parse(&text, None).as_ref(), Ok(value), "{}={text}", setting.name);
        }
        let config = table::Config::from_values(&values);
        assert_eq!(config.port, 6379);
        assert_eq!(config.maxclients, 64000);
        assert!(config.replica_guard);
    }
}
