//! What a label's value means.

use super::cell::{Cell, number};
use super::mapping::LabelRule;

/// What is the matter with a value without a meaning.
pub(super) const UNKNOWN: &str =
    "neither 1, true, yes, y nor 0, false, no, n; say `positive` or `negative` in [label]";

/// Whether a cell is positive; `Some(None)` where that is unknown, `None` where the mapping gives no values and this is
/// none of the usual ones. Letters may be upper or lower case, and numbers be written in any way.
pub(super) fn meaning(rule: &LabelRule, cell: &Cell<'_>, scratch: &mut Vec<u8>) -> Option<Option<bool>> {
    let text = cell.text(scratch);
    let is = |value: &str| {
        let value = value.as_bytes();
        value.eq_ignore_ascii_case(text) || number(text).is_some_and(|size| number(value) == Some(size))
    };
    let among = |values: &[String]| values.iter().any(|value| is(value));
    // A mapping may give a meaning to what elsewhere is a missing value.
    if among(&rule.positive) {
        return Some(Some(true));
    }
    if among(&rule.negative) {
        return Some(Some(false));
    }
    if cell.is_missing(false) {
        return Some(None);
    }
    match (rule.positive.is_empty(), rule.negative.is_empty()) {
        (false, true) => Some(Some(false)),
        (true, false) => Some(Some(true)),
        (false, false) => Some(None),
        (true, true) if ["1", "true", "yes", "y", "t"].into_iter().any(is) => Some(Some(true)),
        (true, true) if ["0", "false", "no", "n", "f"].into_iter().any(is) => Some(Some(false)),
        (true, true) => None,
    }
}
