//! Files that are not what they should be, and what is said of them.

use super::*;
use crate::table::summary::FaultKind;

const NUMBER: &str = "[columns]\nnumeric = [\"amount\"]\n";

#[test]
fn unknown_columns_are_named_with_the_nearest() {
    let told = |text: &str| read_text(text, "[columns]\nnumeric = [\"amount\", \"balance\"]\n").error();
    let error = told("amont,balance\n1,2\n");
    assert!(
        error.ends_with("table, column `amount`: the file has no such column (did you mean `amont`?)"),
        "{error}"
    );
    assert!(told("AMOUNT,balance\n1,2\n").contains("did you mean `AMOUNT`?"));
    assert!(told("x,y\n1,2\n").contains("no such column, nor `balance` (it has x, y)"));
    assert!(told("12.5,2\n13,4\n").contains("a file without a header needs `names` under [file]"));
}

#[test]
fn files_without_rows_and_files_of_other_kinds_are_refused() {
    let told = |bytes: &[u8]| read_bytes(bytes, &mapping(NUMBER)).error();
    for (bytes, expected) in [
        (&b""[..], "table: the file is empty"),
        (&gzip(b""), "the file is empty once unpacked"),
        (b"\n\n", "there is no header"),
        (b"amount\n", "there are no rows"),
        (b"PK\x03\x04 and so on", "a ZIP archive or a spreadsheet (unpack it, or save the sheet as CSV)"),
        (&gzip(b"PK\x03\x04 and so on"), "a ZIP archive"),
        (b"\x28\xb5\x2f\xfd...", "packed by zstd"),
        (b"\xff\xfea\0m\0", "the text is UTF-16 (save it as UTF-8)"),
        (b"amount\n\0\0\0\n", "neither CSV nor Parquet"),
        (b"PAR1 and nothing else", "a damaged Parquet file"),
        (&gzip(b"PAR1"), "a Parquet file packed by gzip"),
    ] {
        let error = told(bytes);
        assert!(error.contains(expected), "{error}\n{expected}");
    }
    let missing = read(Path::new("/nowhere/t.csv"), &mapping(NUMBER), &mut |_| ControlFlow::Continue(()));
    assert!(missing.unwrap_err().to_string().starts_with("/nowhere/t.csv: "));
}

#[test]
fn a_gzip_member_that_is_cut_off_is_an_error_that_names_the_row() {
    let rows: String = (0..40_000).map(|row| format!("{row}.{}\n", row * 7919 % 1_000)).collect();
    let whole = gzip(format!("amount\n{rows}").as_bytes());
    let read = read_bytes(&whole[..whole.len() / 2], &mapping(NUMBER));
    let delivered = read.records.len();
    assert!((10_000..30_000).contains(&delivered), "{delivered}");
    let error = read.error();
    let place = format!("row {} (line {})", delivered + 1, delivered + 2);
    assert!(error.contains(&place) && error.contains("cut off in the middle of a gzip member"), "{error}");
    for end in [11, whole.len() - 1, whole.len() - 8] {
        let error = read_bytes(&whole[..end], &mapping(NUMBER)).error();
        assert!(error.contains("cut off in the middle of a gzip member"), "{end}: {error}");
    }
    let error = read_bytes(&[whole, b"rubbish after the end".to_vec()].concat(), &mapping(NUMBER)).error();
    assert!(error.contains("the gzip data is damaged"), "{error}");
}

#[test]
fn rows_that_cannot_be_read_are_skipped_and_counted() {
    let mut text = transfers(1_000);
    text += "1000,2024-03-01 12:00:00,1,M,1,EUR,0,0,0,0,k,1,0\n"; // line 1002: two cells short
    text += "1001,01/03/2024,1,M,1,EUR,0,0,0,0,k,1,0,,x\n";
    text += "1002,,1,M,1,EUR,0,0,0,0,k,1,0,,x\n";
    text += "1003,2024-03-01,1,M,\"1,000.50\",EUR,0,0,0,0,k,1,0,,x\n";
    text += "1004,2024-03-01,1,M,1,EUR,0,0,0,0,k,old,0,,x\n";
    text += "1005,2024-03-01,1,M,1,EUR,0,0,0,0,k,1,maybe,,x\n";
    text += "5,2024-03-01,1,M,1,EUR,0,0,0,0,k,1,0,,x\n";
    text += "1004,2024-03-01,1,M,1,EUR,0,0,0,0,new,1,0,,x\n"; // the id of a skipped row is free
    let read = read_text(&text, TRANSFERS);
    let summary = read.summary();
    assert_eq!((summary.rows, summary.delivered, summary.skipped.rows), (1_008, 1_001, 7));
    assert_eq!(read.records.last().unwrap().row, 1_008);
    let faults: Vec<_> = summary.skipped.faults.iter().collect();
    let found: Vec<_> = faults
        .iter()
        .map(|fault| (fault.kind, fault.column.as_deref().unwrap_or(""), fault.count, fault.row))
        .collect();
    use FaultKind::{DuplicateId, Label, Number, Ragged, Time};
    let expected = [
        (Ragged, "", 1, 1_001),
        (Time, "ts", 2, 1_002),
        (Number, "sum", 1, 1_004),
        (Number, "age", 1, 1_005),
        (Label, "fraud", 1, 1_006),
        (DuplicateId, "id", 1, 1_007),
    ];
    assert_eq!(found, expected);
    let told = summary.skipped.to_string();
    assert!(told.starts_with(
        "7 of 1008 rows skipped; 1 ragged row, first in row 1001 (line 1002): `1000`: 13 cells where"
    ));
    assert!(told.contains("2 unreadable time in column `ts`, first in row 1002 (line 1003): `01/03/2024`: not written as the times before it"));
    assert!(told.contains("`1,000.50`: thousands separators"), "{told}");
    assert!(told.contains("`maybe`: neither 1, true, yes, y nor 0, false, no, n; say `positive`"), "{told}");
    let levels = summary.column("kind").unwrap().levels.as_ref().unwrap();
    assert_eq!(levels.kept().last().unwrap().text, "new", "a skipped row leaves no level");
}

#[test]
fn too_many_unreadable_rows_are_an_error_with_examples() {
    let rows = |bad: usize| {
        let good: String = "1\n".repeat(100 - bad);
        read_text(&format!("amount\n{good}{}", "x\n".repeat(bad)), NUMBER)
    };
    assert_eq!(rows(1).summary().skipped.rows, 1);
    let error = rows(2).error();
    assert!(
        error.contains(
            "2 of 100 rows skipped; 2 unreadable number in column `amount`, first in row 99 (line 100): `x`"
        ),
        "{error}"
    );
    assert!(error.ends_with("at most 1.000 % may be (`skipped_max` of [file])"), "{error}");
    let lenient = format!("{NUMBER}[file]\nskipped_max = 0.5\n");
    assert_eq!(
        read_text(&format!("amount\n{}{}", "1\n".repeat(5), "x\n".repeat(5)), &lenient)
            .summary()
            .skipped
            .rows,
        5
    );
}

#[test]
fn a_hopeless_file_is_given_up_early() {
    let read = read_text(&format!("amount\n{}", "x\n".repeat(200_000)), NUMBER);
    let error = read.error();
    assert!(error.contains("65536 of 65536 rows skipped"), "{error}");
}

#[test]
fn duplicate_ids_are_skipped_whatever_they_look_like() {
    let columns = "[columns]\nnumeric = [\"n\"]\nid = \"id\"\n[file]\nskipped_max = 1.0\n";
    let read = read_text("id,n\na,1\n7,2\na,3\n7.0,4\n,5\n,6\n", columns);
    assert_eq!(read.records.iter().map(|record| record.row).collect::<Vec<_>>(), [1, 2, 5, 6]);
    assert_eq!(read.summary().column("id").unwrap().missing, 2);
}

#[test]
fn a_quote_that_is_not_closed_drops_nothing_silently() {
    let columns = "[columns]\nnumeric = [\"a\"]\n";
    let good = "1,x\n".repeat(500);
    // In the last column, which nobody reads, it would swallow the rest of the file.
    let error = read_text(&format!("a,b\n{good}2,\"x\n{good}"), columns).error();
    assert!(error.contains("row 501 (line 502): a quote is opened and not closed"), "{error}");
    // Elsewhere the row is too short, and every line it swallowed counts.
    let error = read_text(&format!("a,b\n{good}\"2,x\n{good}"), columns).error();
    assert!(error.contains("501 of 501 rows skipped") || error.contains("a quote is opened"), "{error}");
    let error =
        read_text(&format!("b,a\n{good}\"2,1\n{good}\"\n{good}", good = "x,1\n".repeat(500)), columns)
            .error();
    assert!(error.contains("over 502 lines; is a quote not closed?"), "{error}");
    // Quotes within a cell that does not begin with one are text.
    assert_eq!(read_text("a,b\n1,5\" pipe\n2,y\n", columns).records.len(), 2);
    assert_eq!(read_text("a,b\n1,\"two\nlines\"\n", columns).records.len(), 1);
}

#[test]
fn a_row_without_an_end_is_not_held_in_memory() {
    let endless = format!("amount,note\n1,x\n2,\"{}", "y".repeat(6 << 20));
    let error = read_text(&endless, NUMBER).error();
    assert!(error.contains("row 2 (line 3): the row is longer than 4 MiB (is a quote not closed"), "{error}");
}
