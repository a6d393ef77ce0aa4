//! The table of settings is consistent.

use leasehold::configuration::KEYS;

#[test]
fn setting_names_are_unique() {
    let mut names: Vec<_> = KEYS.iter().map(|key| key.name.to_owned()).collect();
    names.extend(KEYS.iter().map(leasehold::configuration::Key::variable));
    for original in KEYS.iter().filter_map(|key| key.original) {
        names.extend(original.path.map(str::to_owned));
        names.extend(original.variables.iter().map(ToString::to_string));
        names.extend(original.option.filter(|name| *name != "tolerance").map(str::to_owned));
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for key in KEYS {
        assert!(key.documentation.ends_with('.') && !key.default.is_empty(), "{}", key.name);
    }
}
