//! What is kept of a judged transfer, and how it is written.
//!
//! A frame is the payload's length and the first four bytes of its SHA-256, both 32 bits, and the payload: a version, a kind
//! and fields of fixed size, little-endian. Nothing in it names a person: keys are the keyed hashes under which behaviour
//! is remembered.

use sha2::{Digest, Sha256};

/// Longest payload, bytes: a vector of 4,000 features.
pub const PAYLOAD_BYTES_MAX: usize = 32 * 1024;
/// Length and checksum before the payload.
pub const HEAD_BYTES: usize = 8;

const VERSION: u8 = 1;
const JUDGED: u8 = 1;
const SHADOW: u8 = 2;

/// A judged transfer.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The decision.
    pub decision: u128,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// SHA-256 of the feature schema.
    pub schema: [u8; 32],
    /// SHA-256 of the model in force.
    pub model: [u8; 32],
    /// What it said, 0 to 1.
    pub probability: f64,
    /// Amount, hundredths of a major unit.
    pub cents: i64,
    /// Whether the upstream carried it out.
    pub accepted: bool,
    /// Whose behaviour it belongs to, and the other side.
    pub keys: [u64; 2],
    /// Minutes of local time ahead of UTC.
    pub utc_offset_min: i16,
    /// Category levels, 0 for missing.
    pub categories: Vec<u64>,
    /// The features; `NaN` is missing.
    pub vector: Vec<f32>,
}

/// What a challenger would have said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shadow {
    /// The decision.
    pub decision: u128,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// SHA-256 of the challenger.
    pub model: [u8; 32],
    /// What it says, 0 to 1.
    pub probability: f64,
}

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A judged transfer.
    Judged(Judged),
    /// What a challenger would have said of one.
    Shadow(Shadow),
}

/// A decision's id as a number: 32 hexadecimal digits, nothing else.
pub fn decision_number(id: &str) -> Option<u128> {
    let digits =
        id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    digits.then(|| u128::from_str_radix(id, 16).ok()).flatten()
}

/// When a decision was made: the upper 48 bits of its id, Unix milliseconds.
pub fn decided_ms(decision: u128) -> i64 {
    i64::try_from(decision >> 80).unwrap_or(i64::MAX)
}

/// A hash in hexadecimal as bytes; of any other text its own SHA-256, so that it stays comparable.
pub fn hash_bytes(text: &str) -> [u8; 32] {
    let nibble = |byte: &u8| char::from(*byte).to_digit(16).and_then(|n| u8::try_from(n).ok());
    let nibbles: Option<Vec<u8>> = text.as_bytes().iter().map(nibble).collect();
    let bytes: Vec<u8> = nibbles
        .unwrap_or_default()
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, nibble| byte << 4 | nibble))
        .collect();
    bytes.try_into().unwrap_or_else(|_| Sha256::digest(text).into())
}

/// Appends an entry as a frame. Nothing is appended for one that is over the bound.
pub fn write(entry: &Entry, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend([0; HEAD_BYTES]);
    match entry {
        Entry::Judged(judged) => judged.write(out),
        Entry::Shadow(shadow) => shadow.write(out),
    }
    let payload = out.get(start + HEAD_BYTES..).unwrap_or_default();
    let head = head(payload);
    if payload.len() > PAYLOAD_BYTES_MAX {
        out.truncate(start);
    } else if let Some(place) = out.get_mut(start..start + HEAD_BYTES) {
        place.copy_from_slice(&head);
    }
}

fn head(payload: &[u8]) -> [u8; HEAD_BYTES] {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    let sum = Sha256::digest(payload);
    let mut head = [0; HEAD_BYTES];
    for (place, byte) in head.iter_mut().zip(length.iter().chain(sum.iter())) {
        *place = *byte;
    }
    head
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq)]
pub enum Frame {
    /// An entry, and how many bytes it takes.
    Entry(Box<Entry>, usize),
    /// The bytes end before the frame does.
    Cut,
    /// No frame, or an altered one.
    Damaged,
}

/// Reads the first frame.
pub fn read(bytes: &[u8]) -> Frame {
    let Some((found, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else { return Frame::Cut };
    let [a, b, c, d, ..] = *found;
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length > PAYLOAD_BYTES_MAX {
        return Frame::Damaged;
    }
    let Some(payload) = rest.get(..length) else { return Frame::Cut };
    if head(payload) != *found {
        return Frame::Damaged;
    }
    match parse(payload) {
        Some(entry) => Frame::Entry(Box::new(entry), HEAD_BYTES + length),
        None => Frame::Damaged,
    }
}

fn parse(payload: &[u8]) -> Option<Entry> {
    let mut fields = Fields(payload);
    let entry = match fields.take::<2>()? {
        [VERSION, JUDGED] => Entry::Judged(Judged::read(&mut fields)?),
        [VERSION, SHADOW] => Entry::Shadow(Shadow::read(&mut fields)?),
        _ => return None,
    };
    fields.0.is_empty().then_some(entry)
}

impl Judged {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend([VERSION, JUDGED]);
        out.extend(self.decision.to_le_bytes());
        out.extend(self.at_ms.to_le_bytes());
        out.extend(self.schema);
        out.extend(self.model);
        out.extend(self.probability.to_le_bytes());
        out.extend(self.cents.to_le_bytes());
        out.push(u8::from(self.accepted));
        out.extend(self.keys.iter().flat_map(|key| key.to_le_bytes()));
        out.extend(self.utc_offset_min.to_le_bytes());
        out.extend(count(self.categories.len()));
        out.extend(self.categories.iter().flat_map(|level| level.to_le_bytes()));
        out.extend(count(self.vector.len()));
        out.extend(self.vector.iter().flat_map(|value| value.to_le_bytes()));
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            decision: u128::from_le_bytes(fields.take()?),
            at_ms: i64::from_le_bytes(fields.take()?),
            schema: fields.take()?,
            model: fields.take()?,
            probability: f64::from_le_bytes(fields.take()?),
            cents: i64::from_le_bytes(fields.take()?),
            accepted: fields.take() == Some([1]),
            keys: [u64::from_le_bytes(fields.take()?), u64::from_le_bytes(fields.take()?)],
            utc_offset_min: i16::from_le_bytes(fields.take()?),
            categories: fields.list(u64::from_le_bytes)?,
            vector: fields.list(f32::from_le_bytes)?,
        })
    }
}

impl Shadow {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend([VERSION, SHADOW]);
        out.extend(self.decision.to_le_bytes());
        out.extend(self.at_ms.to_le_bytes());
        out.extend(self.model);
        out.extend(self.probability.to_le_bytes());
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            decision: u128::from_le_bytes(fields.take()?),
            at_ms: i64::from_le_bytes(fields.take()?),
            model: fields.take()?,
            probability: f64::from_le_bytes(fields.take()?),
        })
    }
}

fn count(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes()
}

/// Bytes that are taken from the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn list<const N: usize, T>(&mut self, value: impl Fn([u8; N]) -> T) -> Option<Vec<T>> {
        let length = u16::from_le_bytes(self.take()?);
        (0..length).map(|_| self.take().map(&value)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn judged(decision: u128) -> Judged {
        Judged {
            decision,
            at_ms: decided_ms(decision),
            schema: [7; 32],
            model: [9; 32],
            probability: 0.25,
            cents: 12_345,
            accepted: true,
            keys: [u64::MAX, 2],
            utc_offset_min: -60,
            categories: vec![4, 0],
            vector: vec![1.0, -2.5, 0.0],
        }
    }

    #[test]
    fn comes_back_as_written_and_every_alteration_is_noticed() {
        let shadow = Shadow { decision: 5, at_ms: 6, model: [1; 32], probability: 0.5 };
        for entry in [Entry::Judged(judged(77)), Entry::Shadow(shadow)] {
            let mut bytes = Vec::new();
            write(&entry, &mut bytes);
            assert_eq!(read(&bytes), Frame::Entry(Box::new(entry), bytes.len()));
            for end in 0..bytes.len() {
                assert_eq!(read(&bytes[..end]), Frame::Cut, "{end} bytes");
            }
            for at in 0..bytes.len() {
                let mut altered = bytes.clone();
                altered[at] ^= 0x10;
                assert!(!matches!(read(&altered), Frame::Entry(..)), "byte {at}");
            }
        }
    }

    #[test]
    fn missing_values_stay_missing_and_what_is_too_long_is_left_out() {
        let mut bytes = Vec::new();
        let gap = Judged { vector: vec![f32::NAN], ..judged(1) };
        write(&Entry::Judged(gap), &mut bytes);
        let Frame::Entry(entry, _) = read(&bytes) else { panic!("{bytes:?}") };
        let Entry::Judged(back) = *entry else { panic!("{entry:?}") };
        assert!(back.vector[0].is_nan());
        let before = bytes.len();
        write(&Entry::Judged(Judged { vector: vec![0.0; 9_000], ..judged(2) }), &mut bytes);
        assert_eq!(bytes.len(), before);
    }

    #[test]
    fn ids_are_exactly_what_the_gateway_makes() {
        let id = format!("{:032x}", (1_790_000_000_000_u128 << 80) | 5);
        assert_eq!(decision_number(&id).map(decided_ms), Some(1_790_000_000_000));
        for odd in ["", "5", &id[1..], &format!("{id}0"), &id.to_uppercase(), &format!("+{}", &id[1..])] {
            if odd != id {
                assert_eq!(decision_number(odd), None, "{odd}");
            }
        }
        assert_eq!(hash_bytes(&"0a".repeat(32)), [10; 32]);
        assert_ne!(hash_bytes("short"), hash_bytes("other"));
    }
}
