//! Parquet files.

use super::*;
use ::parquet::basic::Compression as Codec;
use ::parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType,
    FloatType, Int32Type, Int64Type, Int96, Int96Type,
};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;
use std::sync::Arc;

type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

/// A file of a schema whose row groups the caller writes.
pub(super) fn file(
    schema: &str,
    groups: usize,
    codec: Codec,
    write: impl Fn(usize, &mut Group<'_>),
) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(codec).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    for at in 0..groups {
        let mut group = writer.next_row_group().unwrap();
        write(at, &mut group);
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

pub(super) fn column<T: DataType>(group: &mut Group<'_>, values: &[T::T], there: Option<&[i16]>) {
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(values, there, None).unwrap();
    column.close().unwrap();
}

fn texts(values: &[&str]) -> Vec<ByteArray> {
    values.iter().map(|text| ByteArray::from(*text)).collect()
}

#[test]
fn every_type_is_read() {
    let schema = "message t {
        required int64 at (TIMESTAMP(MICROS, true));
        optional int64 who (INTEGER(64, false));
        required byte_array to (STRING);
        required int32 sum (DECIMAL(9, 2));
        optional double n;
        required float f;
        required int32 day (DATE);
        required boolean fraud;
        required fixed_len_byte_array(2) big (DECIMAL(4, 1));
        required int64 old (TIMESTAMP_MILLIS);
        optional byte_array kind (STRING);
    }";
    let bytes = file(schema, 1, Codec::SNAPPY, |_, group| {
        column::<Int64Type>(group, &[1_709_294_403_000_000, 1_709_294_404_000_000], None);
        column::<Int64Type>(group, &[-1], Some(&[1, 0]));
        column::<ByteArrayType>(group, &texts(&["M3", " 12 "]), None);
        column::<Int32Type>(group, &[5716, -100], None);
        column::<DoubleType>(group, &[f64::INFINITY], Some(&[0, 1]));
        column::<FloatType>(group, &[0.5, f32::NAN], None);
        column::<Int32Type>(group, &[17_622, 0], None);
        column::<BoolType>(group, &[true, false], None);
        let big = [[0x00, 0x0f], [0xff, 0x9c]].map(|bytes| FixedLenByteArray::from(bytes.to_vec()));
        column::<FixedLenByteArrayType>(group, &big, None);
        column::<Int64Type>(group, &[1_000, 2_000], None);
        column::<ByteArrayType>(group, &texts(&["k"]), Some(&[1, 0]));
    });
    let mapping = mapping(
        "[columns]\ntime = \"at\"\ncustomer = \"who\"\ncounterparty = \"to\"\namount = \"sum\"\nlabel = \"fraud\"\n\
         numeric = [\"n\", \"f\", \"day\", \"big\", \"old\"]\ncategorical = [\"kind\"]\n",
    );
    let read = read_bytes(&bytes, &mapping);
    let [first, second] = &read.records[..] else { panic!("{:?}", read.result) };
    assert_eq!(
        (first.at_ms, first.customer, second.customer),
        (Some(1_709_294_403_000), Some(u64::MAX), None)
    );
    assert_eq!((first.counterparty, second.counterparty), (Some(hash_text(b"M3")), Some(12)));
    assert_eq!((first.amount, second.amount), (Some(57.16), Some(-1.0)));
    assert_eq!((first.label, second.label), (Some(true), Some(false)));
    assert_eq!(first.numbers[1..], [0.5, 1_522_540_800.0, 1.5, 1.0]);
    assert_eq!(second.numbers[2..], [0.0, -10.0, 2.0]);
    assert!(first.numbers[0].is_nan() && second.numbers[0].is_nan() && second.numbers[1].is_nan());
    assert_eq!((first.categories[0], second.categories[0]), (Some(hash_text(b"k")), None));
    assert_eq!((first.line, second.row), (None, 2));
    let counts = |name: &str| read.summary().column(name).map(|column| (column.missing, column.out_of_range));
    assert_eq!(
        ["n", "f", "who", "kind"].map(counts),
        [Some((1, 1)), Some((1, 0)), Some((1, 0)), Some((1, 0))]
    );
}

#[test]
fn times_of_older_writers_are_read() {
    let bytes =
        file("message t { required int96 at; required double n; }", 1, Codec::UNCOMPRESSED, |_, group| {
            let mut moment = Int96::new();
            // Nanoseconds of the day, and the Julian day of 2018-04-01.
            moment.set_data(2_000_000_000, 0, 2_458_210);
            column::<Int96Type>(group, &[moment], None);
            column::<DoubleType>(group, &[1.0], None);
        });
    let read = read_bytes(&bytes, &mapping("[columns]\ntime = \"at\"\nnumeric = [\"n\"]\n"));
    assert_eq!(read.records[0].at_ms, Some(1_522_540_802_000));
}

/// `groups` of 5,000 rows, which is more than a batch: a number, a text that is there in every third row, and a column of
/// rubbish before them.
pub(super) fn large(groups: usize, codec: Codec) -> Vec<u8> {
    let schema = "message t { required int64 rubbish (INTEGER(64, false)); required double a; optional byte_array b (STRING); }";
    file(schema, groups, codec, |group_at, group| {
        let rows: Vec<usize> = (group_at * 5_000..(group_at + 1) * 5_000).collect();
        let rubbish: Vec<i64> =
            rows.iter().map(|row| row.wrapping_mul(0x9e37_79b9_7f4a_7c15).cast_signed() as i64).collect();
        column::<Int64Type>(group, &rubbish, None);
        column::<DoubleType>(group, &rows.iter().map(|row| *row as f64 / 4.0).collect::<Vec<_>>(), None);
        let there: Vec<i16> = rows.iter().map(|row| i16::from(row % 3 == 0)).collect();
        let texts: Vec<_> = rows
            .iter()
            .filter(|row| *row % 3 == 0)
            .map(|row| ByteArray::from(format!("k{}", row % 9).as_str()))
            .collect();
        column::<ByteArrayType>(group, &texts, Some(&there));
    })
}

pub(super) const LARGE: &str = "[columns]\nnumeric = [\"a\"]\ncategorical = [\"b\"]\n";

#[test]
fn row_groups_follow_one_another_as_in_a_text_file() {
    let text: String = (0..15_000)
        .map(|row| {
            format!(
                "{},{}\n",
                row as f64 / 4.0,
                if row % 3 == 0 { format!("k{}", row % 9) } else { String::new() }
            )
        })
        .collect();
    let plain = read_text(&format!("a,b\n{text}"), LARGE);
    for codec in [
        Codec::UNCOMPRESSED,
        Codec::SNAPPY,
        Codec::ZSTD(Default::default()),
        Codec::LZ4_RAW,
        Codec::GZIP(Default::default()),
    ] {
        let read = read_bytes(&large(3, codec), &mapping(LARGE));
        let summary = read.summary();
        assert_eq!((summary.rows, summary.unread.as_slice()), (15_000, &["rubbish".to_owned()][..]));
        assert_eq!(summary.fingerprint, plain.summary().fingerprint, "{codec:?}");
        assert_eq!(read.records[14_999].row, 15_000);
    }
}

#[test]
fn columns_that_are_not_mapped_are_not_read() {
    let mut bytes = large(1, Codec::SNAPPY);
    // The rubbish lies before the others; its bytes are overwritten.
    bytes[4..30_000].fill(0xff);
    assert_eq!(read_bytes(&bytes, &mapping(LARGE)).summary().rows, 5_000);
    let error = read_bytes(&bytes, &mapping("[columns]\nnumeric = [\"a\", \"rubbish\"]\n")).error();
    assert!(error.contains("table, row 1, column `rubbish`: cannot be read"), "{error}");
}

#[test]
fn what_is_wrong_with_a_file_is_told() {
    let whole = large(2, Codec::SNAPPY);
    let error = read_bytes(&whole[..whole.len() - 100], &mapping(LARGE)).error();
    assert!(error.contains("a damaged Parquet file") && error.contains("is the file complete?"), "{error}");
    let error = read_bytes(&whole, &mapping("[columns]\nnumeric = [\"aa\"]\n")).error();
    assert!(error.contains("column `aa`: the file has no such column (did you mean `a`?)"), "{error}");
    let error = read_bytes(&whole, &mapping("[columns]\nnumeric = [\"b\"]\n")).error();
    assert!(
        error.contains("10000 rows skipped; 3334 unreadable number in column `b`, first in row 1: `k0`"),
        "{error}"
    );
    let empty = file("message t { required double a; }", 0, Codec::SNAPPY, |_, _| {});
    assert!(
        read_bytes(&empty, &mapping("[columns]\nnumeric = [\"a\"]\n")).error().contains("there are no rows")
    );
    let schema = "message t { required group a (LIST) { repeated group list { required double element; } } }";
    let lists = file(schema, 0, Codec::SNAPPY, |_, _| {});
    let error = read_bytes(&lists, &mapping("[columns]\nnumeric = [\"a.list.element\"]\n")).error();
    assert!(error.contains("the column holds lists (one value a row is read)"), "{error}");
}
