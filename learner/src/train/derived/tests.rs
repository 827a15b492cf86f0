use super::*;
use crate::table::Mapping;
use crate::train::classify::{self, Recipe, TrainTable, TrainedTable};
use crate::train::dataset::Tables;
use crate::train::search::{Search, folds};
use crate::train::{Costs, ModelKind};
use std::fmt::Write;
use std::path::Path;

const BOTH: &str = "clusters=8,autoencoder";

fn given(names: &[&str], rows: impl Iterator<Item = (Vec<f32>, bool)>) -> Part {
    let rows: Vec<(Vec<f32>, bool)> = rows.collect();
    let recorded = rows.iter().enumerate().map(|(at, (row, label))| (at as i64, row.as_slice(), 0, *label));
    Part::recorded(names.iter().map(|name| (*name).to_owned()).collect(), recorded)
}

/// Rows around the corners of a cube; fraud where an odd number of coordinates is high, so that neither a feature nor a pair
/// of them says anything.
fn cube(seed: u64, rows: usize) -> Vec<([f32; 3], bool)> {
    let mut random = Random::new(seed);
    let mut row = || {
        let corner = random.below(8);
        let at = |bit: usize| ((corner >> bit) & 1) as f32 * 8.0 + random.normal() as f32;
        ([0, 1, 2].map(at), corner.count_ones() % 2 == 1)
    };
    (0..rows).map(|_| row()).collect()
}

/// Normal rows lie near a line, frauds anywhere in the box around it: every feature by itself is spread alike in both.
fn line(seed: u64, rows: usize) -> Vec<([f32; 3], bool)> {
    let mut random = Random::new(seed);
    let mut row = || {
        let fraud = random.chance(0.15);
        let mut along = || {
            let t = 6.0 * random.uniform() as f32 - 3.0;
            [t, -t, t]
        };
        let [one, two, three] = [along(), along(), along()];
        let place = if fraud { [one[0], two[1], three[2]] } else { one };
        (place.map(|x| x + 0.05 * random.normal() as f32), fraud)
    };
    (0..rows).map(|_| row()).collect()
}

struct Desk(tempfile::TempDir);

impl Desk {
    fn new(rows: &[([f32; 3], bool)]) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        let mut csv = "a,b,c,label\n".to_owned();
        for ([a, b, c], label) in rows {
            let _ = writeln!(csv, "{a},{b},{c},{}", u8::from(*label));
        }
        std::fs::write(desk.0.path().join("rows.csv"), csv).unwrap();
        desk
    }

    fn tables(&self) -> Tables {
        let text = "[columns]\nnumeric = ['a', 'b', 'c']\nlabel = 'label'\n";
        let mapping = Mapping::parse(text, Path::new("m.toml")).unwrap();
        Tables { data: self.0.path().join("rows.csv"), test: None, mapping, seed: 3 }
    }

    fn train(
        &self,
        model: ModelKind,
        inputs: &str,
        search: Search,
        seed: u64,
    ) -> Result<(TrainedTable, Vec<u8>), TrainError> {
        let inputs = if inputs.is_empty() { Wanted::default() } else { inputs.parse().unwrap() };
        let recipe = Recipe { model: Some(model), seed, search, inputs, ..Recipe::default() };
        let out = self.0.path().join("model");
        let trained =
            classify::train(&TrainTable { tables: self.tables(), recipe, out: out.clone() }, &mut ())?;
        Ok((trained, std::fs::read(out.join("model.artifact")).unwrap()))
    }
}

#[test]
fn clusters_are_the_blobs_there_are() {
    let blobs = cube(1, 4_000);
    let part = given(&["a", "b", "c"], blobs.iter().map(|(row, label)| (row.to_vec(), *label)));
    let clusters = cluster::fit(&part, 8, 5).unwrap();
    assert_eq!(clusters.centres.len(), 8);
    let mut corners: Vec<[bool; 3]> = Vec::new();
    for (centre, share) in clusters.centres.iter().zip(&clusters.frauds) {
        let corner = [0, 1, 2].map(|axis| centre[axis] > 0.0);
        let odd = corner.iter().filter(|&&high| high).count() % 2 == 1;
        assert_eq!(*share, f32::from(u8::from(odd)), "{centre:?}");
        let close = (0..3).all(|axis| {
            let (mean, spread) = (clusters.means[axis], clusters.spreads[axis]);
            let expected = if corner[axis] { 8.0 } else { 0.0 };
            (centre[axis] * spread + mean - expected).abs() < 0.3
        });
        assert!(close, "{centre:?}");
        corners.push(corner);
    }
    corners.sort_unstable();
    corners.dedup();
    assert_eq!(corners.len(), 8, "one cluster a corner");
    let mut out = vec![0.0; clusters.width()];
    let row = [8.0, 0.0, 0.5];
    clusters.write(&row, &mut out).unwrap();
    let (distance, memberships) = out.split_last().unwrap();
    assert!((memberships.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    let (nearest, _) = clusters.nearest(&row).unwrap();
    assert!(memberships[nearest] > 0.9 && *distance < 1.0, "{memberships:?} {distance}");
    clusters.write(&[4.0, 4.0, 100.0], &mut out).unwrap();
    assert!(*out.last().unwrap() > 2.0, "far from all: {out:?}");
}

#[test]
fn rows_too_alike_for_so_many_clusters_have_fewer() {
    let part = given(&["a"], (0..200u8).map(|row| (vec![f32::from(row % 2)], row % 5 == 0)));
    let clusters = cluster::fit(&part, 6, 5).unwrap();
    assert_eq!((clusters.centres.len(), clusters.frauds.len(), clusters.radii.len()), (2, 2, 2));
    let rows = (0..59u8).map(|row| (vec![f32::from(row)], row % 2 == 0));
    let error = cluster::fit(&given(&["a"], rows), 6, 5).unwrap_err().to_string();
    assert!(error.contains("59 rows are too few for 6 clusters"), "{error}");
}

#[test]
fn a_cluster_lets_a_linear_model_separate_what_it_could_not() {
    let desk = Desk::new(&cube(2, 3_000));
    let auprc = |inputs: &str| {
        let (trained, _) = desk.train(ModelKind::Logistic, inputs, Search::default(), 3).unwrap();
        trained.test.ranking.auprc
    };
    let (before, after) = (auprc(""), auprc("clusters=8"));
    assert!(before < 0.7 && after > 0.99, "before {before}, after {after}");
}

#[test]
fn the_reconstruction_error_lets_a_linear_model_separate_what_it_could_not() {
    let desk = Desk::new(&line(2, 4_000));
    let auprc = |inputs: &str| {
        let (trained, _) = desk.train(ModelKind::Svm, inputs, Search::default(), 3).unwrap();
        trained.test.ranking.auprc
    };
    let (before, after) = (auprc(""), auprc("autoencoder"));
    assert!(before < 0.3 && after > before + 0.3, "before {before}, after {after}");
}

#[test]
fn the_autoencoder_knows_normal_training_rows_alone() {
    let rows = line(4, 2_000);
    let part = |known: &dyn Fn(bool) -> bool| {
        let rows = rows.iter().filter(|(_, label)| known(*label));
        given(&["a", "b", "c"], rows.map(|(row, label)| (row.to_vec(), *label)))
    };
    let [all, normal] = [part(&|_| true), part(&|label| !label)];
    let fitted = |part: &Part| reconstruction(&part.frame, &part.labels, 3).unwrap();
    assert_eq!(fitted(&all), fitted(&normal));
    let few = all.select(&(0..100).collect::<Vec<_>>());
    let error = reconstruction(&few.frame, &few.labels, 3).unwrap_err().to_string();
    assert!(error.contains("normal rows are too few for the autoencoder's inputs"), "{error}");
}

/// The derived columns of rows with three features, to the last bit.
fn columns_of(part: &Part) -> Vec<(String, Vec<u32>)> {
    let width = part.frame.width();
    (3..width)
        .map(|at| {
            let values = part.frame.column(at).iter().map(|value| value.to_bits());
            (part.frame.names()[at].clone(), values.collect())
        })
        .collect()
}

#[test]
fn every_fold_fits_its_own_on_its_training_rows() {
    let desk = Desk::new(&cube(6, 2_000));
    let wanted: Wanted = BOTH.parse().unwrap();
    let read = |change: bool| {
        let mut data = Dataset::read(&desk.tables(), None, &mut ()).unwrap();
        if change {
            // The later rows of the training part move; the first fold is not to know of it.
            let cut = data.train.rows() / 2 + 1;
            let moved = (0..data.train.rows()).map(|row| {
                let mut values = vec![0.0; 3];
                data.train.frame.row(row, &mut values);
                if row >= cut {
                    values.iter_mut().for_each(|value| *value *= -5.0);
                }
                (values, data.train.labels[row])
            });
            let moved = given(&["a", "b", "c"], moved);
            data.train.frame = moved.frame;
        }
        data.derive(wanted, 3, &mut ()).unwrap();
        data
    };
    let (as_is, changed) = (read(false), read(true));
    let first = |data: &Dataset| {
        let folds = folds(data, Some(1)).unwrap();
        let [train, judge] = folds[0].parts(data).map(std::borrow::Cow::into_owned);
        (train, judge)
    };
    // With validation rows, the only fold is trained on all of the training part; without, on its first half.
    let without = |mut data: Dataset| {
        data.validate = Part::default();
        data
    };
    let (as_is, changed) = (without(as_is), without(changed));
    let ((train, judge), (other, _)) = (first(&as_is), first(&changed));
    assert_eq!(columns_of(&train), columns_of(&other), "a fold knows nothing of rows that come later");
    assert_ne!(as_is.derived.as_ref().unwrap().fitted(), changed.derived.as_ref().unwrap().fitted());
    // Not what all training rows make of the same rows either.
    let whole = columns_of(&as_is.train);
    let mut differs = false;
    for ((name, fold), (same, all)) in columns_of(&train).iter().zip(&whole) {
        assert_eq!(name, same);
        differs |= fold[..] != all[..fold.len()];
    }
    assert!(differs && judge.frame.names() == train.frame.names());
    assert_eq!(train.frame.width(), as_is.train.frame.width());
}

#[test]
fn nothing_is_fitted_on_validation_or_test_rows() {
    let desk = Desk::new(&cube(7, 1_500));
    let fitted = |spoil: bool| {
        let mut data = Dataset::read(&desk.tables(), None, &mut ()).unwrap();
        if spoil {
            for part in [&mut data.validate, &mut data.test] {
                let rows = (0..part.rows()).map(|row| (vec![row as f32; 3], part.labels[row]));
                part.frame = given(&["a", "b", "c"], rows).frame;
            }
        }
        data.derive(BOTH.parse().unwrap(), 3, &mut ()).unwrap();
        data.derived.unwrap().fitted
    };
    assert_eq!(fitted(false), fitted(true));
}

#[test]
fn the_same_rows_and_seed_give_the_same_bytes_on_any_number_of_threads() {
    let desk = Desk::new(&cube(8, 1_500));
    let search = Search { random: 1, folds: Some(2) };
    let train = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let _ = std::fs::remove_dir_all(desk.0.path().join("model"));
        pool.install(|| desk.train(ModelKind::Tree, BOTH, search, seed)).unwrap().1
    };
    let (one, four) = (train(1, 3), train(4, 3));
    assert!(one == four, "threads change the model");
    assert!(one != train(1, 4), "the seed changes nothing");
}

#[test]
fn what_was_trained_is_measured_alike_from_its_artifact() {
    let desk = Desk::new(&cube(9, 1_500));
    for model in [ModelKind::Logistic, ModelKind::Boosted] {
        let (trained, bytes) = desk.train(model, BOTH, Search::default(), 3).unwrap();
        let folder = desk.0.path().join("model");
        let measured = classify::evaluate(&folder, &desk.tables(), Costs::default(), &mut ()).unwrap();
        assert_eq!(measured.test.ranking, trained.test.ranking, "{model}");
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("--inputs clusters=8,autoencoder"), "the command names them");
        let report = std::fs::read_to_string(folder.join("report.html")).unwrap();
        assert!(report.contains("reconstruction error") && report.contains("group of training rows"));
    }
}

#[test]
fn trials_with_other_inputs_are_other_trials() {
    let desk = Desk::new(&cube(10, 1_000));
    let search = Search { random: 1, folds: None };
    desk.train(ModelKind::Tree, "", search, 3).unwrap();
    let (trained, _) = desk.train(ModelKind::Tree, "clusters=3", search, 3).unwrap();
    assert!(!trained.remarks.iter().any(|remark| remark.contains("known from an earlier run")));
    let (trained, _) = desk.train(ModelKind::Tree, "clusters=3", search, 3).unwrap();
    assert!(trained.remarks.iter().any(|remark| remark.contains("known from an earlier run")));
}

#[test]
fn wishes_are_read_or_refused_by_name() {
    for (text, clusters, autoencoder) in [
        ("clusters", Some(8), false),
        ("autoencoder", None, true),
        ("autoencoder, clusters=12", Some(12), true),
    ] {
        let wanted: Wanted = text.parse().unwrap();
        assert_eq!(wanted, Wanted { clusters, autoencoder });
        assert_eq!(wanted.to_string().parse(), Ok(wanted));
    }
    for (text, said) in [("clusters=1", "2 to 32"), ("clusters=33", "2 to 32"), ("pca", "`pca`"), ("", "``")]
    {
        assert!(text.parse::<Wanted>().unwrap_err().contains(said), "{text}");
    }
}

#[test]
fn more_inputs_than_a_vector_has_room_for_are_refused() {
    let names: Vec<String> = (0..WIDTH_MAX - 5).map(|at| format!("x{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let wide = given(&names, (0..100u8).map(|row| (vec![f32::from(row); names.len()], row % 2 == 0)));
    let wanted = Wanted { clusters: Some(8), autoencoder: false };
    let error = fit(&wide, wanted, 1, &mut ()).unwrap_err().to_string();
    assert!(error.contains("507 features and 9 inputs made of them; at most 512"), "{error}");
}
