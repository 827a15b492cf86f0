//! Local against federated against pooled training on a table of payments, split by customers into four banks:
//! `cargo run --release -p learner --example federated -- DATA MAPPING SPLIT [SEEDS [CLIP]]`. With `choose` for SEEDS it tries
//! clips on the validation part, and shows nothing of the test part.
//!
//! SPLIT says what the banks' customers are parted by: `spending` (what they spend on average in the training period),
//! `activity` (how many payments they make), both mixed by some noise, or `random`. The banks have 50, 25, 15 and 10 % of
//! them. Each bank makes its features from its own payments alone: what a counterparty did with another bank's customers it
//! does not know. "Pooled" has all payments in one place.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::Path;

use learner::evaluate::{Scored, auprc};
use learner::federate::play::{Fate, Simulated, alone, play};
use learner::federate::state::State;
use learner::federate::table::propose;
use learner::federate::terms::{CLIPS, STATISTICS_RELEASES};
use learner::federate::wire::{Bytes, Real};
use learner::federate::{
    Bank, Comparison, Coordinator, Limits, Method, Model, PROTOCOL, Party, Purpose, Schema, SeededEntropy,
    Table, Terms, ToCoordinator, Work, privacy,
};
use learner::frame::Frame;
use learner::table::Mapping;
use learner::train::Part;
use learner::train::dataset::{Dataset, Tables};

const SHARES: [f64; 4] = [0.5, 0.25, 0.15, 0.1];
const DELTA: f64 = 1e-6;

/// Standard deviation of the noise that mixes banks' customers, in the logarithm of what they are parted by.
const MIXING: f64 = 0.2;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, mapping, split, options @ ..] = arguments.as_slice() else {
        return Err("federated DATA MAPPING spending|activity|random [SEEDS|choose [CLIP]]".into());
    };
    let chooses = options.first().is_some_and(|option| option == "choose");
    let seeds: u64 = if chooses { 1 } else { options.first().map_or(Ok(1), |text| text.parse())? };
    let clip: f64 = options.get(1).map_or(Ok(CLIPS.1), |text| text.parse())?;
    let measured = |set: &Dataset| if chooses { set.validate.clone() } else { set.test.clone() };
    let mapping = Mapping::read(Path::new(mapping))?;
    let read = |path: &Path| Dataset::read(&tables(path, &mapping), None, &mut ());
    let whole = read(Path::new(data))?;
    let schema = propose(&whole.train.frame, "label", Some("customer"));
    let pooled_train = Table::of_part(&whole.train, &schema)?;
    let pooled_test = Table::of_part(&measured(&whole), &schema)?;
    let rows = (whole.train.rows(), pooled_test.positive.len());
    println!("{} features, {} training rows, {} rows to measure on", schema.features.len(), rows.0, rows.1);
    for seed in 1..=seeds {
        println!("\nseed {seed}");
        let bank_of = parted(&whole.train, split, seed)?;
        let folder = tempfile::tempdir()?;
        write_banks(Path::new(data), &mapping, &bank_of, folder.path())?;
        let mut banks = Vec::new();
        for bank in 0..SHARES.len() {
            let part = read(&folder.path().join(format!("{bank}.csv")))?;
            let tables = (Table::of_part(&part.train, &schema)?, Table::of_part(&measured(&part), &schema)?);
            let frauds = |table: &Table| table.positive.iter().filter(|positive| **positive).count();
            println!("bank {bank}: {} rows, {} frauds", tables.0.positive.len(), frauds(&tables.0));
            banks.push(tables);
        }
        if chooses {
            choose(&schema, &banks, seed);
        } else {
            compare(&schema, &banks, (&pooled_train, &pooled_test), clip, seed)?;
        }
    }
    Ok(())
}

/// Clips with and without noise.
fn choose(schema: &Schema, banks: &Banks, seed: u64) {
    for clip in [0.5, 1.0, 2.0, 4.0] {
        let terms = Terms { clip: Real(clip), ..averaging(schema) };
        run(
            &format!("averaging, clip {clip}"),
            schema,
            banks,
            &Run { terms: &terms, seed, poison: None, dies: false },
        );
    }
    for clip in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0] {
        for epsilon in [1.0, 3.0] {
            let Some(terms) = private(schema, epsilon, clip) else { continue };
            let what = format!("epsilon {epsilon}, clip {clip}");
            run(&what, schema, banks, &Run { terms: &terms, seed, poison: None, dies: false });
        }
    }
}

fn tables(path: &Path, mapping: &Mapping) -> Tables {
    Tables { data: path.to_owned(), test: None, mapping: mapping.clone(), seed: 1 }
}

/// Customers by bank.
fn parted(train: &Part, split: &str, seed: u64) -> Result<HashMap<u64, usize>, String> {
    let mut spent: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for (customer, cents) in train.customers.iter().zip(&train.cents) {
        let (sum, count) = spent.entry(customer.unwrap_or_default()).or_default();
        (*sum, *count) = (*sum + *cents as f64, *count + 1.0);
    }
    let key: fn(f64, f64) -> f64 = match split {
        "spending" => |sum, count| (sum / count).ln(),
        "activity" => |_, count| count.ln(),
        "random" => |_, _| 0.0,
        other => return Err(format!("no split is called {other}")),
    };
    let mut customers: Vec<(u64, f64)> = spent
        .into_iter()
        .map(|(customer, (sum, count))| (customer, key(sum, count) + MIXING * noise(customer, seed)))
        .collect();
    customers.sort_by(|a, b| a.1.total_cmp(&b.1));
    let total = customers.len() as f64;
    let bank = |place: usize| {
        let mut end = 0.0;
        SHARES.iter().position(|share| {
            end += share * total;
            (place as f64) < end
        })
    };
    Ok(customers
        .iter()
        .enumerate()
        .map(|(at, (customer, _))| (*customer, bank(at).unwrap_or(SHARES.len() - 1)))
        .collect())
}

/// About standard normal, from a customer and a seed.
fn noise(customer: u64, seed: u64) -> f64 {
    let mut z = customer.wrapping_add(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut uniform = || {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(1);
        (z >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..12).map(|_| uniform()).sum::<f64>() - 6.0
}

/// One file for each bank with its customers' payments.
fn write_banks(
    data: &Path,
    mapping: &Mapping,
    bank_of: &HashMap<u64, usize>,
    folder: &Path,
) -> Result<(), Box<dyn Error>> {
    let mut by_row = Vec::new();
    learner::table::read(data, mapping, &mut |record| {
        // A customer who appears after training is with the first bank.
        by_row.push(record.customer.and_then(|customer| bank_of.get(&customer)).copied().unwrap_or(0));
        std::ops::ControlFlow::Continue(())
    })?;
    let file = std::fs::File::open(data)?;
    let mut reader = csv::Reader::from_reader(flate2::read::MultiGzDecoder::new(file));
    let headers = reader.headers()?.clone();
    let mut writers = Vec::new();
    for bank in 0..SHARES.len() {
        let mut writer = csv::Writer::from_path(folder.join(format!("{bank}.csv")))?;
        writer.write_record(&headers)?;
        writers.push(writer);
    }
    for (record, bank) in reader.records().zip(by_row) {
        writers[bank].write_record(&record?)?;
    }
    writers.iter_mut().try_for_each(csv::Writer::flush)?;
    Ok(())
}

fn terms(schema: &Schema, method: Method, rounds: u32) -> Terms {
    let private = matches!(method, Method::Private { .. });
    Terms {
        protocol: PROTOCOL,
        session: Bytes([0; 16]),
        schema: schema.digest(),
        parties_min: 3,
        rounds,
        rounds_summed_max: rounds + rounds / 10 + 6,
        method,
        clip: Real(CLIPS.0),
        learning_rate: Real(if private { 0.1 } else { 0.01 }),
        l2: Real(1e-5),
        leave_out: true,
        deadline_ms: 60_000,
    }
}

fn averaging(schema: &Schema) -> Terms {
    terms(schema, Method::Averaging { epochs: 1, batch: 256 }, 10)
}

fn private(schema: &Schema, epsilon: f64, clip: f64) -> Option<Terms> {
    let rounds = 60;
    let releases = f64::from(rounds + rounds / 10 + 6 + STATISTICS_RELEASES);
    let noise_multiplier = Real(privacy::noise_multiplier(epsilon, releases, DELTA)?);
    let method = Method::Private { noise_multiplier, epsilon: Real(epsilon), delta: Real(DELTA) };
    Some(Terms { clip: Real(clip), ..terms(schema, method, rounds) })
}

fn scores(schema: &Schema, state: &State, test: &Table) -> Vec<Scored> {
    let Some(model) = Model::of(schema.clone(), state.clone()) else { return Vec::new() };
    let mut row = vec![0.0; schema.features.len()];
    let score = |(at, positive): (usize, &bool)| {
        test.frame.row(at, &mut row);
        Scored { score: model.score(&row), positive: *positive }
    };
    test.positive.iter().enumerate().map(score).collect()
}

type Banks = [(Table, Table)];

/// AUPRC over all banks' test rows together, and of each bank's own.
fn say(what: &str, schema: &Schema, banks: &Banks, state: &State) {
    let each: Vec<Vec<Scored>> = banks.iter().map(|(_, test)| scores(schema, state, test)).collect();
    let own: Vec<String> = each.iter().map(|scored| format!("{:.3}", auprc(scored))).collect();
    println!("{what:44} {:.4}  banks {}", auprc(&each.concat()), own.join(" "));
}

fn compare(
    schema: &Schema,
    banks: &Banks,
    pooled: (&Table, &Table),
    clip: f64,
    seed: u64,
) -> Result<(), Box<dyn Error>> {
    let averaging = averaging(schema);
    let by_itself =
        |table: &Table| alone(&averaging, schema, &mut Bank::new(table.clone())).ok_or("no model");
    let state = by_itself(pooled.0)?;
    println!("{:44} {:.4}", "pooled rows and histories", auprc(&scores(schema, &state, pooled.1)));
    say("  on histories by bank", schema, banks, &state);
    let mut together = Table { frame: Frame::new(schema.names()), positive: Vec::new(), unit: None };
    let mut row = vec![0.0; schema.features.len()];
    for (train, _) in banks {
        for at in 0..train.positive.len() {
            train.frame.row(at, &mut row);
            together.frame.push(&row);
        }
        together.positive.extend(&train.positive);
        together.unit.get_or_insert_default().extend(train.unit.iter().flatten());
    }
    say("pooled rows, histories by bank", schema, banks, &by_itself(&together)?);
    drop(together);
    let mut own = Vec::new();
    for (bank, (train, test)) in banks.iter().enumerate() {
        let state = by_itself(train)?;
        say(&format!("bank {bank} alone"), schema, banks, &state);
        own.extend(scores(schema, &state, test));
    }
    println!("{:44} {:.4}", "each bank's rows by its own model", auprc(&own));
    let run = |what: &str, terms: &Terms, poison: Option<f64>, dies: bool| {
        run(what, schema, banks, &Run { terms, seed, poison, dies });
    };
    run("federated averaging", &averaging, None, false);
    run("  a bank goes halfway", &averaging, None, true);
    run("  a bank sends its update times -100", &averaging, Some(-100.0), false);
    run("  a bank sends its update times -10", &averaging, Some(-10.0), false);
    for epsilon in [8.0, 3.0, 1.0] {
        let Some(terms) = private(schema, epsilon, clip) else { continue };
        run(&format!("federated, epsilon {epsilon} for each customer"), &terms, None, false);
        if epsilon == 3.0 {
            run("  a bank goes halfway", &terms, None, true);
            run("  a bank sends its gradients times -100", &terms, Some(-100.0), false);
            run("  a bank sends its gradients times -3", &terms, Some(-3.0), false);
        }
    }
    Ok(())
}

/// A federated training.
struct Run<'a> {
    terms: &'a Terms,
    seed: u64,
    /// A factor on one bank's updates.
    poison: Option<f64>,
    /// Whether a bank goes halfway.
    dies: bool,
}

fn run(what: &str, schema: &Schema, banks: &Banks, run: &Run<'_>) {
    let mut seats = seats(schema, banks, run.seed, run.poison);
    let names = seats.keys().cloned().collect();
    let begun = Coordinator::new(run.terms.clone(), schema.clone(), names, Box::new(Simulated("c".into())));
    let halfway = run.terms.rounds / 2;
    let played = play(begun, &mut seats, |name, message| match message {
        ToCoordinator::Masked { sum, .. } if run.dies && name == "bank-2" && *sum == halfway => Fate::Gone,
        _ => Fate::Arrives,
    });
    let Some(played) = played else { return println!("{what}: no end") };
    say(what, schema, banks, &played.state);
    let outcome = played.outcome;
    if outcome.gone.len() + outcome.suspended.len() > 0
        || outcome.epsilon.is_some()
        || !played.refused.is_empty()
    {
        let epsilon = outcome.epsilon.map_or(f64::INFINITY, |epsilon| epsilon.0);
        let (gone, out) = (outcome.gone.join(" "), outcome.suspended.join(" "));
        println!(
            "    {:?}, {} sums, epsilon {epsilon:.2}, gone {gone:?}, left out {out:?}",
            outcome.end, outcome.opened
        );
    }
}

fn seats(schema: &Schema, banks: &Banks, seed: u64, poison: Option<f64>) -> BTreeMap<String, Party> {
    let mut seats = BTreeMap::new();
    for ((at, (train, _)), number) in banks.iter().enumerate().zip(1u64..) {
        let name = format!("bank-{at}");
        let bank = Bank::new(train.clone());
        let work: Box<dyn Work> = match poison {
            // The second largest: more weight than the honest small ones.
            Some(factor) if at == 1 => Box::new(Poison(bank, factor)),
            _ => Box::new(bank),
        };
        let entropy = Box::new(SeededEntropy::new(seed * 1000 + number));
        let notary = Box::new(Simulated(name.clone()));
        seats.insert(name, Party::new(schema.clone(), Limits::default(), notary, entropy, work));
    }
    seats
}

/// Honest statistics, updates times a factor, votes for everything.
struct Poison(Bank, f64);

impl Work for Poison {
    fn contribution(&mut self, terms: &Terms, schema: &Schema, state: &State, purpose: Purpose) -> Vec<f64> {
        let honest = self.0.contribution(terms, schema, state, purpose);
        let width = if purpose == Purpose::Statistics { 0 } else { schema.width() };
        honest
            .iter()
            .enumerate()
            .map(|(at, value)| if at < width { value * self.1 } else { *value })
            .collect()
    }

    fn compare(&mut self, _: &Terms, _: &Schema, _: &State, _: &State) -> Comparison {
        Comparison { before: 1.0, rise: -1e6, units: 1000 }
    }
}
