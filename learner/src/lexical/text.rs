//! Looking around in bytes without ever leaving them.

/// A sign with its certainty and its name in words.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hit {
    pub(super) score: f32,
    pub(super) matched: &'static str,
}

/// The stronger of what was found so far and a new hit.
pub(super) fn strongest(best: &mut Option<Hit>, score: f32, matched: &'static str) {
    if best.is_none_or(|hit| score > hit.score) {
        *best = Some(Hit { score, matched });
    }
}

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// What follows position `at`.
pub(super) fn from(text: &[u8], at: usize) -> &[u8] {
    text.get(at..).unwrap_or(&[])
}

/// The word that ends right before `at`, spaces between allowed, at most 32 bytes of it.
pub(super) fn word_before(text: &[u8], at: usize) -> &[u8] {
    let head = text.get(..at).unwrap_or(&[]).trim_ascii_end();
    let length = head.iter().rev().take(32).take_while(|byte| is_word(**byte)).count();
    from(head, head.len() - length)
}

/// The word at the start, at most 32 bytes of it.
pub(super) fn word_at_start(text: &[u8]) -> &[u8] {
    let length = text.iter().take(32).take_while(|byte| is_word(**byte)).count();
    text.get(..length).unwrap_or(&[])
}

/// Whether a sorted list has the word.
pub(super) fn listed(list: &[&str], word: &[u8]) -> bool {
    list.binary_search_by(|known| known.as_bytes().cmp(word)).is_ok()
}
