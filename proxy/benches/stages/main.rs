//! What each stage of a request's journey costs, beside its budget: `cargo bench -p proxy --bench stages`.
//!
//! `… -- memory` fills the memory of verified tokens with a million, which takes some minutes.
//!
//! On one thread, with warm caches, the shipped models and the demo's policy. The stages are in the order in which a request
//! meets them; what a whole request costs is for `tests/bench/run.sh` to say.

mod caller;
mod figures;
mod samples;

use std::hint::black_box;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use futures_util::FutureExt;
use http::request::Parts;
use indicatif::ProgressBar;
use learner::anomaly::AnomalyScorer;
use learner::behaviour::{ProfileLimits, Profiles};
use learner::capacity::fixed::Static;
use learner::capacity::{CapacityConfig, Class, FairKey, PlaneConfig};
use learner::features::request::{RequestSample, vector};
use learner::fraud::FraudScorer;
use learner::lexical;
use policies::{DecisionRecord, Evidence, Policy, Pseudonymizer, document};
use proxy::audit::Entry;
use proxy::stages::admission::{Admission, steady_clock};
use proxy::stages::identity::token::Algorithm;
use proxy::stages::inspection::inspect;
use proxy::stages::limits::{AddressLimit, Keyed, Rate, take_together};
use proxy::stages::normalize::{HeadLimits, normalize};
use proxy::stages::transfer::{Assessment, Customers, assess, intent};

use caller::Caller;
use figures::{Cost, FRESH_CALLS, compare, print_head};

/// Requests are served with this allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    print_head();
    if std::env::args().any(|word| word == "memory") {
        return memory();
    }
    heads()?;
    limits();
    admission();
    identity()?;
    let head = samples::transfer_head("token");
    let mut evidence = inspection(&head)?;
    let assessment = fraud(&head)?;
    evidence.fraud = Some(assessment.fraud);
    evidence.behaviour = Some(assessment.behaviour);
    decision(&evidence)
}

fn configs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(file)
}

fn heads() -> anyhow::Result<()> {
    let limits = HeadLimits::default();
    let head = samples::read_head("token");
    let raw = samples::on_the_wire(&head);
    normalize(Some(&raw), &head, &limits).map_err(|refusal| anyhow!("{refusal:?}"))?;
    let cost = Cost::of("normalise").within_us(5.0);
    cost.print(|| normalize(Some(black_box(&raw)), black_box(&head), &limits));
    Ok(())
}

fn limits() {
    let most = NonZeroU32::MAX;
    let rate = Rate { per_second: NonZeroU32::MIN.saturating_add(999_999), burst: most };
    let addresses = AddressLimit::new(rate, 1_000_000);
    let keyed = ["customer", "client", "route"].map(|name| Keyed::new(name, rate, 1_000_000));
    let [customer, client, route] = &keyed;
    let mut asked = 0_u32;
    Cost::of("limits: address, customer, client, route").within_us(1.0).print(|| {
        asked = asked.wrapping_add(1);
        let address = IpAddr::from((0x0a00_0000 | (asked & 0xff)).to_be_bytes());
        let who = u64::from(asked & 0xff);
        let keyed = take_together(&[(customer, who), (client, 1), (route, 0)], i64::from(asked));
        (addresses.take(address), keyed)
    });
}

fn admission() {
    // Nobody waits, so that every answer is there at once.
    let plane = PlaneConfig { queue_len_max: 0, ..PlaneConfig::default() };
    let config = CapacityConfig { plane, ..CapacityConfig::default() };
    let pool = Admission::new("bank", &config, Box::new(Static(config.initial())), steady_clock());
    let mut asked = 0_u64;
    let mut ask = |class| {
        asked = asked.wrapping_add(0x9e37_79b9_7f4a_7c15);
        pool.admit(class, FairKey(asked)).now_or_never()
    };
    Cost::of("admission: granted, answered, given back")
        .within_us(1.0)
        .print(|| ask(Class::AuthenticatedRead).map(|granted| granted.map(|mut permit| permit.answered())));
    let mut held = Vec::new();
    while let Some(Ok(permit)) = ask(Class::Anonymous) {
        held.push(permit);
    }
    Cost::of("admission: shed").print(|| ask(Class::Anonymous));
}

fn identity() -> anyhow::Result<()> {
    let caller = Caller::new(samples::TOKENS)?;
    let remembered = samples::read_head(&caller.token(Algorithm::Es256, 0)?);
    caller.identify(&remembered).context("the token is not accepted")?;
    Cost::of("identity: remembered token").within_us(3.0).print(|| caller.identify(black_box(&remembered)));
    for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
        let name = algorithm.name();
        let (key, message, signature) = caller.signed(algorithm)?;
        let alone_name = format!("  {name} signature alone");
        let mut verify = || {
            black_box(key.verifies(black_box(&message), black_box(&signature)));
        };
        let good = Presented::new(|number| caller.token(algorithm, number))?;
        let bad = Presented::new(|number| caller.forged(algorithm, number))?;
        let (mut accepted, mut refused) = (0, 0);
        let [good_name, bad_name] =
            [format!("identity: {name} token never seen"), format!("identity: {name} signature is bad")];
        let [_, never_seen, forged] = compare([
            (&alone_name, &mut verify),
            (&good_name, &mut good.each(&caller, &mut accepted)),
            (&bad_name, &mut bad.each(&caller, &mut refused)),
        ]);
        ensure!(
            (accepted, refused) == (FRESH_CALLS, 0),
            "{accepted} good and {refused} bad tokens are accepted"
        );
        println!("  never seen {never_seen:.2}, refused {forged:.2} times the signature alone");
    }
    Ok(())
}

/// Requests with tokens of which each is presented once.
struct Presented(Vec<Parts>);

impl Presented {
    fn new(token: impl Fn(u32) -> anyhow::Result<String>) -> anyhow::Result<Self> {
        let heads = (1..=FRESH_CALLS).map(|number| Ok(samples::read_head(&token(number)?)));
        heads.collect::<anyhow::Result<_>>().map(Self)
    }

    /// Presents the next one, and counts it if it is accepted.
    fn each<'a>(self, caller: &'a Caller, accepted: &'a mut u32) -> impl FnMut() + use<'a> {
        let mut heads = self.0.into_iter();
        move || *accepted += u32::from(heads.next().and_then(|head| caller.identify(&head)).is_some())
    }
}

/// What a million remembered tokens take, and what one of them costs among so many.
fn memory() -> anyhow::Result<()> {
    const TOKENS: u32 = 1_000_000;
    /// Looked up in the end, spread over all.
    const SAMPLE: usize = 4_096;
    let caller = Caller::new(TOKENS as usize * 2)?;
    let bar = ProgressBar::new(TOKENS.into());
    let before = resident_kb()?;
    let mut sample = Vec::new();
    for number in 0..TOKENS {
        let head = samples::read_head(&caller.token(Algorithm::Es256, number)?);
        caller.identify(&head).context("the token is not accepted")?;
        if (number as usize).is_multiple_of(TOKENS as usize / SAMPLE) {
            sample.push(head);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let taken = resident_kb()?.saturating_sub(before);
    let held = caller.held();
    ensure!(held == TOKENS as usize, "only {held} are held");
    println!(
        "{held} remembered tokens take {} MB, {} bytes each",
        taken / 1024,
        taken * 1024 / u64::from(TOKENS)
    );
    let mut turn = 0_usize;
    Cost::of("identity: one of a million remembered").within_us(3.0).print(|| {
        turn = turn.wrapping_add(1);
        sample.get(turn.wrapping_mul(997) % sample.len()).and_then(|head| caller.identify(head))
    });
    Ok(())
}

/// Resident memory of the process.
fn resident_kb() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// What inspection finds out about the sample.
fn inspection(head: &Parts) -> anyhow::Result<Evidence> {
    let model = AnomalyScorer::load(&configs("models/anomaly"))?;
    let body = samples::kilobyte_body();
    let headers: Vec<(&str, &[u8])> =
        head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let sample = RequestSample {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query(),
        headers: &headers,
        content_type: Some("application/json"),
        body: body.as_bytes(),
        client_rate_per_s: None,
    };
    Cost::of("  lexical, 1 kB").print(|| lexical::inspect(black_box(&sample)));
    let found = lexical::inspect(&sample);
    Cost::of("  features and anomaly, 1 kB")
        .print(|| model.score_vector(&vector(black_box(&sample), &found)));
    let name = "anomaly/bench".into();
    let inspect = || inspect(black_box(head), body.as_bytes(), |_| false, Some(&model), &name);
    Cost::of("inspection, 1 kB").within_us(50.0).print(inspect);
    let inspected = inspect();
    Ok(Evidence { anomaly: Some(inspected.anomaly), inspection: inspected.findings, ..Evidence::default() })
}

fn fraud(head: &Parts) -> anyhow::Result<Assessment> {
    let mapping = samples::mapping();
    let body = samples::transfer_body();
    let read = || intent(&mapping, &head.headers, black_box(body.as_bytes()));
    let transfer = read().map_err(|refusal| anyhow!("{refusal:?}"))?;
    Cost::of("transfer: body to intent").print(read);

    let model = FraudScorer::load(&configs("models/fraud"))?;
    let profiles = Profiles::new(ProfileLimits::default());
    let customers = Customers::new(samples::pseudonyms(), 1);
    let identity = samples::identity();
    for day in (1..=40).rev() {
        let at_ms = samples::NOW_MS - day * 86_400_000;
        customers.event(&identity, &transfer, head, at_ms).seen(|event| profiles.accept(event));
    }
    let name = "fraud/bench".into();
    let score = || {
        let event = customers.event(&identity, black_box(&transfer), head, samples::NOW_MS);
        assess(event, &profiles, Some(&model), &name)
    };
    Cost::of("transfer: profile and fraud score").within_us(15.0).print(score);
    Ok(score())
}

fn decision(evidence: &Evidence) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(configs("policies/demo.toml"))?;
    let policy: Policy = document::parse(&text).map_err(|errors| anyhow!("{errors:?}"))?;
    let facts = samples::facts();
    let rules = format!("decision: {} rules", policy.rules().len());
    Cost::of(&rules).within_us(10.0).print(|| policy.decide(black_box(&facts), black_box(evidence)));
    let verdict = policy.decide(&facts, evidence);
    let pseudonyms: Pseudonymizer = samples::pseudonyms();
    let record =
        || DecisionRecord::of(&facts, evidence, &verdict, policy.hash(), samples::course(), &pseudonyms);
    let written = serde_json::to_vec(&Entry::Decision(Box::new(record())))?;
    Cost::of(&format!("record: made and written, {} bytes", written.len()))
        .within_us(5.0)
        .print(|| serde_json::to_vec(&Entry::Decision(Box::new(record()))));
    Ok(())
}
