//! Whatever the bytes: an error or a count, and no panic.

use super::*;
use ::parquet::basic::Compression as Codec;
use proptest::prelude::*;
use std::sync::LazyLock;

static TEXT: LazyLock<String> = LazyLock::new(|| transfers(60));
static PACKED: LazyLock<Vec<u8>> = LazyLock::new(|| gzip(TEXT.as_bytes()));
static PARQUET: LazyLock<Vec<u8>> = LazyLock::new(|| parquet::large(1, Codec::SNAPPY));
static LENIENT: LazyLock<Mapping> =
    LazyLock::new(|| mapping(&format!("{TRANSFERS}[file]\nskipped_max = 1.0\n")));
static LARGE: LazyLock<Mapping> = LazyLock::new(|| mapping(parquet::LARGE));

/// Every row of a file that was read to its end is handed over or counted.
fn accounted(read: &Read) -> Result<(), TestCaseError> {
    if let Ok(summary) = &read.result {
        prop_assert_eq!(summary.delivered, read.records.len() as u64);
        prop_assert!(summary.delivered + summary.skipped.rows >= summary.rows);
        let counted: u64 = summary.skipped.faults.iter().map(|fault| fault.count).sum();
        prop_assert_eq!(counted, summary.skipped.rows);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        accounted(&read_bytes(&bytes, &LENIENT))?;
    }

    #[test]
    fn any_bytes_under_the_right_header(bytes in "[ -~\n\r\"]{0,300}") {
        let header = TEXT.lines().next().unwrap();
        accounted(&read_text(&format!("{header}\n{bytes}"), &format!("{TRANSFERS}[file]\nskipped_max = 1.0\n")))?;
    }

    #[test]
    fn any_cell(row in 1_usize..60, column in 0_usize..15, cell in "\\PC{0,12}") {
        let mut lines: Vec<String> = TEXT.lines().map(str::to_owned).collect();
        let mut cells: Vec<_> = lines[row].split(',').map(str::to_owned).collect();
        cells[column] = format!("\"{}\"", cell.replace('"', "\"\""));
        lines[row] = cells.join(",");
        let read = read_bytes(lines.join("\n").as_bytes(), &LENIENT);
        let summary = read.result.as_ref().map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(summary.delivered + summary.skipped.rows, 60);
        prop_assert!(summary.skipped.rows <= 1);
    }

    #[test]
    fn a_gzip_file_cut_anywhere_is_an_error(end in 2..PACKED.len()) {
        prop_assert!(read_bytes(&PACKED[..end], &LENIENT).result.is_err());
    }

    #[test]
    fn a_gzip_file_altered_anywhere(at in 0..PACKED.len(), byte in any::<u8>()) {
        let mut bytes = PACKED.clone();
        bytes[at] = byte;
        accounted(&read_bytes(&bytes, &LENIENT))?;
    }

    #[test]
    fn a_parquet_file_cut_anywhere_is_an_error(end in 4..PARQUET.len()) {
        prop_assert!(read_bytes(&PARQUET[..end], &LARGE).result.is_err());
    }

    #[test]
    fn a_parquet_file_altered_anywhere(at in any::<prop::sample::Index>(), byte in any::<u8>(), in_footer in any::<bool>()) {
        let mut bytes = PARQUET.clone();
        // The footer is small and says where everything is: half of the cases are for it.
        let from = if in_footer { bytes.len() - 600 } else { 0 };
        let at = from + at.index(bytes.len() - from);
        bytes[at] = byte;
        accounted(&read_bytes(&bytes, &LARGE))?;
    }
}
