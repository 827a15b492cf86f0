//! Values of Parquet columns: what is stored, and what it means.

use super::cell::Cell;
use super::when::TimeUnit;
use parquet::basic::{ConvertedType, LogicalType, TimeUnit as ParquetUnit};
use parquet::data_type::ByteArray;
use parquet::schema::types::ColumnDescriptor;

/// A cell of a batch.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Owned {
    Missing,
    Int(i128),
    Float(f64),
    Bool(bool),
    /// Unix milliseconds.
    Time(i64),
    Bytes(ByteArray),
}

impl Owned {
    pub(super) fn cell(&self) -> Cell<'_> {
        match self {
            Self::Missing => Cell::Missing,
            Self::Int(number) => Cell::Int(*number),
            Self::Float(number) => Cell::Float(*number),
            Self::Bool(truth) => Cell::Bool(*truth),
            Self::Time(ms) => Cell::Time(*ms),
            Self::Bytes(bytes) => Cell::of_text(bytes.data()),
        }
    }
}

/// What a column's stored values mean (Parquet's logical types, and the converted types of older writers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Plain,
    Unsigned,
    Date,
    /// Since 1970, taken for UTC where the zone is not said.
    Time(TimeUnit),
    /// A whole number of powers of ten.
    Decimal(i32),
    /// IEEE 754 binary16, little-endian.
    Half,
    Uuid,
}

impl Meaning {
    pub(super) fn of(column: &ColumnDescriptor) -> Self {
        match column.logical_type_ref() {
            Some(LogicalType::Date) => return Self::Date,
            Some(LogicalType::Timestamp(time)) => {
                return Self::Time(match time.unit {
                    ParquetUnit::MILLIS => TimeUnit::Milliseconds,
                    ParquetUnit::MICROS => TimeUnit::Microseconds,
                    ParquetUnit::NANOS => TimeUnit::Nanoseconds,
                });
            }
            Some(LogicalType::Decimal(decimal)) => return Self::Decimal(decimal.scale),
            Some(LogicalType::Integer(whole)) if !whole.is_signed => return Self::Unsigned,
            Some(LogicalType::Float16) => return Self::Half,
            Some(LogicalType::Uuid) => return Self::Uuid,
            Some(_) => return Self::Plain,
            None => {}
        }
        match column.converted_type() {
            ConvertedType::DATE => Self::Date,
            ConvertedType::TIMESTAMP_MILLIS => Self::Time(TimeUnit::Milliseconds),
            ConvertedType::TIMESTAMP_MICROS => Self::Time(TimeUnit::Microseconds),
            ConvertedType::DECIMAL => Self::Decimal(column.type_scale()),
            ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64 => Self::Unsigned,
            _ => Self::Plain,
        }
    }

    pub(super) fn of_i32(self, value: i32) -> Owned {
        match self {
            Self::Unsigned => Owned::Int(value.cast_unsigned().into()),
            _ => self.of_i64(value.into()),
        }
    }

    pub(super) fn of_i64(self, value: i64) -> Owned {
        match self {
            Self::Unsigned => Owned::Int(value.cast_unsigned().into()),
            Self::Date => time(TimeUnit::Days, value),
            Self::Time(unit) => time(unit, value),
            Self::Decimal(scale) => decimal(value.into(), scale),
            _ => Owned::Int(value.into()),
        }
    }

    pub(super) fn of_bytes(self, value: ByteArray) -> Owned {
        match (self, value.data()) {
            (Self::Decimal(scale), bytes) => {
                big_endian(bytes).map_or(Owned::Bytes(value), |number| decimal(number, scale))
            }
            (Self::Half, [low, high]) => Owned::Float(half(u16::from_le_bytes([*low, *high]))),
            (Self::Uuid, bytes) => Owned::Bytes(crate::artifact::hex(bytes).into_bytes().into()),
            _ => Owned::Bytes(value),
        }
    }
}

/// A time that no calendar has stays a time, which the reader of records refuses.
fn time(unit: TimeUnit, count: i64) -> Owned {
    Owned::Time(unit.whole_ms(count).unwrap_or(i64::MAX))
}

fn decimal(number: i128, scale: i32) -> Owned {
    if scale == 0 { Owned::Int(number) } else { Owned::Float(number as f64 / 10_f64.powi(scale)) }
}

/// A two's complement number of at most 16 bytes.
fn big_endian(bytes: &[u8]) -> Option<i128> {
    let (first, rest) = bytes.split_first()?;
    (bytes.len() <= 16).then(|| {
        rest.iter().fold(i128::from(first.cast_signed()), |number, byte| number << 8 | i128::from(*byte))
    })
}

/// IEEE 754 binary16.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff) / 1_024.0);
    sign * match exponent {
        0 => fraction * 2_f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2_f64.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_values_become_what_they_mean() {
        assert_eq!(Meaning::Unsigned.of_i32(-1), Owned::Int(4_294_967_295));
        assert_eq!(Meaning::Unsigned.of_i64(-1), Owned::Int(u64::MAX.into()));
        assert_eq!(Meaning::Plain.of_i32(-1), Owned::Int(-1));
        assert_eq!(Meaning::Date.of_i32(17_622), Owned::Time(1_522_540_800_000));
        assert_eq!(Meaning::Time(TimeUnit::Microseconds).of_i64(1_999), Owned::Time(1));
        assert_eq!(Meaning::Time(TimeUnit::Milliseconds).of_i64(i64::MIN), Owned::Time(i64::MAX));
        assert_eq!(Meaning::Decimal(2).of_i64(5_716), Owned::Float(57.16));
        assert_eq!(Meaning::Decimal(0).of_i64(5_716), Owned::Int(5_716));
        let bytes = |bytes: &[u8]| ByteArray::from(bytes.to_vec());
        assert_eq!(Meaning::Decimal(1).of_bytes(bytes(&[0xff, 0x9c])), Owned::Float(-10.0));
        assert_eq!(Meaning::Decimal(0).of_bytes(bytes(&[1, 0])), Owned::Int(256));
        assert_eq!(Meaning::Half.of_bytes(bytes(&[0x00, 0xc2])), Owned::Float(-3.0));
        assert_eq!(Meaning::Half.of_bytes(bytes(&[0x01, 0x00])), Owned::Float(2_f64.powi(-24)));
        assert_eq!(Meaning::Uuid.of_bytes(bytes(&[0xab; 16])).cell(), Cell::Text("ab".repeat(16).as_bytes()));
    }
}
