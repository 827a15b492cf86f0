use crate::report;
use crate::report::blocks;
use crate::simulate::Random;
use crate::table::Mapping;
use crate::train::ModelKind;
use crate::train::classify::{Recipe, TrainTable, TrainedTable, train};
use crate::train::dataset::Tables;
use std::fmt::Write;
use std::path::Path;

/// Names that would be markup.
const COLUMN: &str = "<script>\"k&";
const LEVEL: &str = "</style><img src=x onerror=alert(1)>";
const KIND: &str = "<i>kind";

/// Trains on a small table, with or without amounts.
fn trained(directory: &Path, amounts: bool, model: ModelKind) -> (TrainedTable, String) {
    let mut random = Random::new(4);
    let mut csv = format!("at,who,amount,\"{}\",a&b,fraud,kind\n", COLUMN.replace('"', "\"\""));
    for row in 0..1_500 {
        let fraud = random.chance(0.08);
        let amount = random.uniform() * if fraud { 900.0 } else { 200.0 };
        let level = if random.chance(if fraud { 0.8 } else { 0.2 }) { LEVEL } else { "plain" };
        let number = random.normal() + if fraud { 1.5 } else { 0.0 };
        let (at, who, kind) = (1_600_000_000 + row * 3_000, random.below(30), if fraud { KIND } else { "" });
        let _ = writeln!(csv, "{at},{who},{amount:.2},{level},{number:.3},{},{kind}", u8::from(fraud));
    }
    let data = directory.join("<b>.csv");
    std::fs::write(&data, csv).unwrap();
    let amount = if amounts { "amount = 'amount'" } else { "" };
    let mapping = format!(
        "[columns]\ntime = 'at'\ncustomer = 'who'\n{amount}\ncategorical = ['{COLUMN}']\nnumeric = ['a&b']\n\
         label = 'fraud'\nscenario = 'kind'\n[split]\nfractions = [0.4, 0.2, 0.4]\n"
    );
    let mapping = Mapping::parse(&mapping, Path::new("m.toml")).unwrap();
    let out = directory.join("out");
    let tables = Tables { data, test: None, mapping, seed: 1 };
    let settings =
        TrainTable { tables, recipe: Recipe { model: Some(model), seed: 1, ..Recipe::default() }, out };
    let trained = train(&settings, &mut ()).unwrap();
    let html = std::fs::read_to_string(settings.out.join(report::FILE)).unwrap();
    (trained, html)
}

#[test]
fn the_report_of_a_scorecard_shows_everything_and_no_name_becomes_markup() {
    let directory = tempfile::tempdir().unwrap();
    let (trained, html) = trained(directory.path(), true, ModelKind::Logistic);
    let body = html.split_once("</style>").unwrap().1;
    for markup in ["<script", "<img", "<i>", "<b>.csv", "</style", "style=", "onclick="] {
        assert!(!body.contains(markup), "{markup}");
    }
    let level = "&lt;script&gt;&quot;k&amp;=&lt;/style&gt;&lt;img src=x onerror=alert(1)&gt;";
    for text in [level, "&lt;i&gt;kind", "&lt;b&gt;.csv", "a&amp;b as recorded"] {
        assert!(body.contains(text), "{text}");
    }
    let figures = [
        "Precision against recall",
        "ROC",
        "ROC, low end",
        "Scores",
        "Calibration",
        "Cost over the threshold",
    ];
    for figure in figures {
        assert!(body.contains(&format!("<figcaption><b>{figure}</b>")), "{figure}");
    }
    let auprc = blocks::decimal(trained.test.ranking.auprc);
    assert!(body.contains(&format!("<dt>AUPRC</dt><dd>{auprc}")), "{auprc}");
    assert!(body.contains("guessing") && !body.to_lowercase().contains("accuracy"));
    assert!(body.contains("What each value of a feature adds"));
    assert!(html.len() < 400_000, "{} bytes", html.len());
    let text = trained.to_string();
    assert!(
        text.contains("chosen of") && text.contains("act from a probability of") && !text.contains('\u{1b}')
    );
    assert!(text.contains("chosen by the best F1, the others by cost"), "{text}");
}

#[test]
fn the_same_table_gives_the_same_bytes_and_one_without_amounts_says_so() {
    let [first, second] = [0, 1].map(|_| {
        let directory = tempfile::tempdir().unwrap();
        trained(directory.path(), false, ModelKind::Boosted).1
    });
    assert!(first == second, "the bytes differ");
    assert!(first.contains("The table has no amounts") && first.contains("Shapley"));
}
