//! Text files that are as they should be.

use super::*;

#[test]
fn a_row_becomes_a_record() {
    let read = read_text(&transfers(5), TRANSFERS);
    let summary = read.summary();
    let record = &read.records[3];
    let expected = Record {
        row: 4,
        line: Some(5),
        at_ms: Some(1_709_294_403_000),
        customer: Some(3),
        counterparty: Some(hash_text(b"M3")),
        amount: Some(3.25),
        currency: Some(hash_text(b"EUR")),
        coordinates: Some([[48.1, 11.5], [3.0, -3.0]]),
        categories: vec![Some(hash_text(b"k3"))],
        numbers: vec![3.0],
        label: Some(true),
        scenario: Some(hash_text(b"card")),
    };
    assert_eq!(*record, expected);
    assert_eq!(read.records[4].scenario, None);
    assert_eq!((summary.rows, summary.delivered, summary.skipped.rows), (5, 5, 0));
    assert_eq!((summary.labels.positive, summary.labels.negative, summary.labels.unknown), (1, 4, 0));
    assert_eq!(summary.span_ms, Some((1_709_294_400_000, 1_709_294_404_000)));
    assert_eq!(summary.unread, ["note"]);
    assert_eq!(summary.scenarios.as_ref().unwrap().text(record.scenario.unwrap()), Some("card"));
    let levels = summary.column("kind").unwrap().levels.as_ref().unwrap();
    assert_eq!(levels.text(hash_text(b"k3")), Some("k3"));
    assert_eq!((levels.kept().len(), levels.kept()[0].text.as_str(), levels.others()), (5, "k0", 0));
}

#[test]
fn texts_are_written_in_many_ways() {
    let columns = "[columns]\nnumeric = [\"a\"]\ncategorical = [\"b\"]\n";
    for text in [
        "a,b\n1,x y\n2,z\n",
        "\u{feff}a,b\r\n1,x y\r\n2,z",
        " a ;b \n 1;x y\n2; z \n",
        "b\ta\nx y\t1\nz\t2\n",
        "\n\na|b\n\n1|x y\n\n2|z\n",
        "b,extra,a\n\"x y\",\"1,2\",1\n\"z\",\"a \"\"b\"\"\n c\",2\n",
        "a,b\r1,x y\r2,z\r",
    ] {
        let read = read_text(text, columns);
        let cells: Vec<_> =
            read.records.iter().map(|record| (record.numbers[0], record.categories[0])).collect();
        assert_eq!(cells, [(1.0, Some(hash_text(b"x y"))), (2.0, Some(hash_text(b"z")))], "{text:?}");
    }
}

#[test]
fn a_file_without_a_header_has_its_names_from_the_mapping() {
    let columns = "[columns]\nnumeric = [\"b\"]\n[file]\nnames = [\"a\", \"b\"]\nignore = [\"a\"]\n";
    let read = read_text("1;2\n3;4\n", columns);
    assert_eq!(read.records.iter().map(|record| record.numbers[0]).collect::<Vec<_>>(), [2.0, 4.0]);
    assert_eq!(read.records[0].line, Some(1));
    assert!(read.summary().unread.is_empty());
    let error = read_text("a;b\n3;4\n", columns).error();
    assert!(error.contains("row 1 (line 1): the first line is a header (leave `names`"), "{error}");
}

#[test]
fn columns_of_one_name_and_of_none_can_be_told_apart() {
    let columns = "[columns]\nnumeric = [\"a.1\", \"a\"]\ncategorical = [\"Unnamed: 0\"]\n";
    let read = read_text(",a,a,a,a.1\nx,1,2,3,4\n", columns);
    assert_eq!(read.records[0].numbers, [2.0, 1.0]);
    assert_eq!(read.records[0].categories, [Some(hash_text(b"x"))]);
    assert_eq!(read.summary().unread, ["a.2", "a.1.1"]);
}

#[test]
fn gzip_is_told_by_content_and_may_have_members() {
    let text = transfers(50);
    let (head, tail) = text.split_at(701);
    let members = [gzip(head.as_bytes()), gzip(b""), gzip(tail.as_bytes())].concat();
    let mapping = mapping(TRANSFERS);
    let plain = read_bytes(text.as_bytes(), &mapping);
    let packed = read_bytes(&members, &mapping);
    assert_eq!(packed.records, plain.records);
    assert_eq!(packed.summary().fingerprint, plain.summary().fingerprint);
}

#[test]
fn the_fingerprint_is_of_values_not_of_bytes() {
    let columns = "[columns]\nnumeric = [\"a\"]\n";
    let fingerprint = |text: &str| read_text(text, columns).summary().fingerprint.clone();
    let first = fingerprint("a\n1\n2\n");
    assert_eq!(first, fingerprint("b;a\nx; 1.0\ny;2e0\n"));
    assert_ne!(first, fingerprint("a\n2\n1\n"));
    assert_ne!(first, fingerprint("a\n1\nNA\n"));
    assert_eq!(first.len(), 64);
}

#[test]
fn labels_are_read_as_the_mapping_says() {
    let labels = |rule: &str, text: &str| {
        let columns = format!("[columns]\nnumeric = [\"a\"]\nlabel = \"l\"\n[label]\n{rule}\n");
        let rows: String = text.split(' ').map(|label| format!("1,{label}\n")).collect();
        let read = read_text(&format!("a,l\n{rows}"), &columns);
        read.records.iter().map(|record| record.label).collect::<Vec<_>>()
    };
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(labels("", "1 TRUE Yes 1.0 0 false NO 0.0 NA"), [yes, yes, yes, yes, no, no, no, no, None]);
    assert_eq!(labels("positive = \"Fraud\"", "Fraud fraud legal 1 ?"), [yes, yes, no, no, None]);
    assert_eq!(labels("positive = [2, \"x\"]", "2 2.0 x 1"), [yes, yes, yes, no]);
    assert_eq!(labels("negative = \"normal\"", "normal neptune smurf NaN"), [no, yes, yes, None]);
    assert_eq!(labels("positive = \"bad\"\nnegative = \"good\"", "bad good new"), [yes, no, None]);
}

#[test]
fn what_is_missing_is_counted_and_so_is_what_no_feature_can_hold() {
    let columns = "[columns]\nnumeric = [\"n\"]\ncategorical = [\"c\"]\ncustomer = \"who\"\namount = \"sum\"\n\
                   coordinates = { customer = [\"a\", \"b\"], counterparty = [\"a2\", \"b2\"] }\n";
    let text = "n,c,who,sum,a,b,a2,b2\n1,NA,NA,inf,0,0,0,0\n-inf,?,u,,91,0,0,0\n1e39,null,v,5,0,0,0,\n,x,w,1e39,0,0,0,181\n";
    let read = read_text(text, columns);
    let counts = |name: &str| {
        let column = read.summary().column(name).unwrap();
        (column.missing, column.out_of_range)
    };
    assert_eq!(
        ["n", "c", "who", "sum", "a", "b2"].map(counts),
        [(1, 2), (2, 0), (1, 0), (1, 1), (0, 1), (1, 1)]
    );
    assert_eq!(read.records[0].categories, [Some(hash_text(b"NA"))]);
    assert_eq!(read.records[0].amount, None);
    assert!(read.records[1].numbers[0].is_nan());
    let placed: Vec<_> = read.records.iter().map(|record| record.coordinates.is_some()).collect();
    assert_eq!(placed, [true, false, false, false]);
    assert_eq!(read.records[3].amount, Some(1e39));
}

#[test]
fn remarks_say_what_is_out_of_the_ordinary() {
    let columns = "[columns]\ntime = \"t\"\nnumeric = [\"a\", \"e\"]\ncategorical = [\"c\"]\nlabel = \"l\"\n";
    let read = read_text("t,a,c,l,e,z\n100,1,x,0,,1\n90,1,y,0,,1\n95,1,y,,,1\n", columns);
    assert_eq!(read.summary().backwards, 1);
    let remarks: Vec<_> = read.summary().remarks();
    let remarks: Vec<_> = remarks.iter().map(|remark| remark.rsplit_once("table: ").unwrap().1).collect();
    assert_eq!(
        remarks,
        [
            "time runs backwards in 1 rows",
            "every label is negative",
            "the label of 1 rows is unknown",
            "column `a` has one value only",
            "column `e` is empty",
            "column `l` is missing in 1 rows",
            "column `l` has one value only",
            "columns that the mapping does not name: z",
        ]
    );
}

#[test]
fn texts_of_many_levels_are_kept_within_a_bound() {
    let rows = 300_000;
    let text: String =
        std::iter::once("c\n".to_owned()).chain((0..rows).map(|row| format!("level{row}\n"))).collect();
    let mapping = mapping("[columns]\ncategorical = [\"c\"]\n");
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("table");
    std::fs::write(&path, text).unwrap();
    let mut last = None;
    let summary = read(&path, &mapping, &mut |record| {
        last = record.categories[0];
        ControlFlow::Continue(())
    });
    let summary = summary.unwrap();
    let levels = summary.columns[0].levels.as_ref().unwrap();
    assert_eq!(levels.kept().len(), levels::LEVELS_MAX);
    assert_eq!(levels.others(), rows - levels::LEVELS_MAX as u64);
    assert_eq!(last, Some(hash_text(b"level299999")));
    assert_eq!(levels.text(last.unwrap()), None);
    assert!(
        summary.remarks()[0].contains("has more than 4096 levels; 295904 rows have one"),
        "{:?}",
        summary.remarks()
    );
}

#[test]
fn a_visitor_may_stop() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("table");
    std::fs::write(&path, transfers(100)).unwrap();
    let mut seen = 0;
    let summary = read(&path, &mapping(TRANSFERS), &mut |_| {
        seen += 1;
        if seen == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let summary = summary.unwrap();
    assert_eq!((seen, summary.rows, summary.stopped), (10, 10, true));
}

#[test]
fn labels_of_one_letter_and_dates_of_other_countries_are_read_without_a_word() {
    let columns = "[columns]\ntime = \"on\"\namount = \"sum\"\nlabel = \"fraud\"\n";
    let read = read_text("on;sum;fraud\n25.1.2015;7;Y\n3.2.2015;n/a;n\n4.2.2015;;T\n5.2.2015;1;F\n", columns);
    let labels: Vec<_> = read.records.iter().map(|record| record.label).collect();
    assert_eq!(labels, [Some(true), Some(false), Some(true), Some(false)]);
    let days: Vec<_> =
        read.records.iter().map(|record| record.at_ms.unwrap() / 86_400_000 - 16_460).collect();
    assert_eq!(days, [0, 9, 10, 11]);
    assert_eq!(read.summary().column("sum").unwrap().missing, 2);
    let error = read_text("on,sum,fraud\n1/2/2015,7,Y\n1/3/2015,7,N\n", columns).error();
    assert!(error.contains("`1/2/2015`: day or month first? Say `date_order = "), "{error}");
    let said = columns.replace("[columns]", "[columns]\ndate_order = \"month-day-year\"");
    let read = read_text("on,sum,fraud\n1/2/2015,7,Y\n1/3/2015 0:05,7,N\n", &said);
    assert_eq!(read.records[1].at_ms, when::iso_8601(b"2015-01-03 00:05"));
}
