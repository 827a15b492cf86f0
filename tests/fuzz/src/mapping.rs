//! Mapping files. What is accepted gives no column two roles, names what it cuts by, and can be read again and again.

use std::collections::BTreeSet;
use std::path::Path;

use learner::table::Mapping;
use learner::table::split::Plan;

/// Whether the data is a mapping.
pub fn run(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let path = Path::new("m.toml");
    let mapping = match Mapping::parse(text, path) {
        Ok(mapping) => mapping,
        Err(faults) => {
            let said = faults.to_string();
            assert!(said.starts_with("m.toml") && said.len() > 10, "{said}");
            return false;
        }
    };
    assert_eq!(mapping, Mapping::parse(text, path).unwrap());
    let columns = &mapping.columns;
    let single =
        [&columns.time, &columns.customer, &columns.counterparty, &columns.amount, &columns.currency];
    let places = columns.coordinates.iter().flat_map(|sides| sides.as_flattened());
    let mut roles = BTreeSet::new();
    let named =
        single.into_iter().flatten().chain(places).chain(&columns.categorical).chain(&columns.numeric);
    for name in named.chain(&columns.label).chain(&columns.id) {
        assert!(!name.trim().is_empty() && roles.insert(name), "{name:?} twice, or no name");
    }
    let timed = !matches!(mapping.split.plan, Plan::Periods { .. });
    assert!(timed || columns.time.is_some(), "periods without a time");
    assert!(mapping.label.delay_ms >= 0 && mapping.train.rows_max > 0, "{:?}", mapping.label);
    assert!((0.0..=1.0).contains(&mapping.file.skipped_max), "{}", mapping.file.skipped_max);
    true
}
