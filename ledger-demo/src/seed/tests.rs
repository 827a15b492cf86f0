use super::*;
use crate::banking::{LoanApplication, LoanDecision};
use crate::testing::NOW_S;

const NOW_MS: i64 = NOW_S * 1_000;

async fn seeded() -> Bank {
    let db = sled::Config::new().temporary(true).open().unwrap();
    let bank = Bank::open(&db, NOW_MS).await.unwrap();
    seed(&bank, DEMO_SEED, NOW_MS).await.unwrap();
    bank
}

fn customer(name: &str) -> CustomerId {
    CustomerId::new(name).unwrap()
}

#[tokio::test]
async fn the_same_seed_is_the_same_past_and_is_booked_once() {
    let (one, two) = (seeded().await, seeded().await);
    let history = transfer_history(&one).unwrap();
    assert_eq!(history, transfer_history(&two).unwrap());
    assert!(history.len() > 500, "{}", history.len());
    assert!(history.is_sorted_by_key(|past| past.at_ms));
    assert!(history.iter().all(|past| past.at_ms < NOW_MS && past.amount_minor > 0));
    assert_ne!(lives::payments(1, NOW_MS), lives::payments(2, NOW_MS));

    seed(&one, DEMO_SEED, NOW_MS + 86_400_000).await.unwrap();
    assert_eq!(transfer_history(&one).unwrap(), history);
    assert!(one.books().await.unwrap().in_order());
}

#[tokio::test]
async fn a_seeding_that_was_cut_off_is_finished() {
    let db = sled::Config::new().temporary(true).open().unwrap();
    let bank = Bank::open(&db, NOW_MS).await.unwrap();
    let payments = lives::payments(DEMO_SEED, NOW_MS);
    let accounts = ACCOUNTS.iter().map(|(id, owner, kind, name)| {
        Operation::Open(NewAccount {
            id: AccountId::new(*id).unwrap(),
            owner: Some(customer(owner)),
            kind: *kind,
            name: (*name).to_owned(),
            currency: Currency::EUR,
        })
    });
    let begun = Command { operations: accounts.collect(), receipt: None, at_ms: 0 };
    bank.ledger().submit(begun).await.unwrap();
    // Some of these are refused for want of money, and must not be tried again when there is more.
    let begun =
        payments.iter().enumerate().take(400).map(|(number, payment)| command(number, payment).unwrap());
    let answers = bank.ledger().submit_in_order(begun.collect::<Vec<_>>()).await;
    assert!(answers.iter().any(Result::is_err) && answers.last().unwrap().is_ok());
    seed(&bank, DEMO_SEED, NOW_MS).await.unwrap();
    assert_eq!(transfer_history(&bank).unwrap(), transfer_history(&seeded().await).unwrap());
}

#[tokio::test]
async fn the_demo_customers_have_something_to_say() {
    let bank = seeded().await;
    let mut scores = Vec::new();
    for name in ["alice", "bob", "carol", "mallory"] {
        let score = bank.credit_score(&customer(name), NOW_MS).await.unwrap();
        assert_eq!(score.months_of_history, 6, "{name}");
        let advice = bank.advice(&customer(name), NOW_MS).await.unwrap();
        assert!(advice.lines.len() >= 2, "{name}: {advice:?}");
        for account in bank.accounts(&customer(name)).unwrap() {
            assert!(account.balance() >= 0 && account.entries > 0, "{account:?}");
        }
        scores.push((name, score.score));
    }
    println!("{scores:?}");
    let of = |wanted: &str| scores.iter().find(|(name, _)| *name == wanted).unwrap().1;
    assert!(of("carol") > of("mallory") && of("alice") > of("mallory"), "{scores:?}");
    let dining = bank.advice(&customer("alice"), NOW_MS).await.unwrap();
    assert!(dining.lines.iter().any(|line| line.sentence.contains("eating out")), "{dining:?}");

    for (name, account, granted) in [("alice", "alice-current", true), ("mallory", "mallory-current", false)]
    {
        let application = LoanApplication {
            account: AccountId::new(account).unwrap(),
            amount_minor: 500_000,
            currency: Currency::EUR,
            months: 24,
        };
        let decision = bank.apply_for_loan(&customer(name), application, None, NOW_MS).await.unwrap();
        assert_eq!(matches!(decision, LoanDecision::Granted { .. }), granted, "{name}: {decision:?}");
    }
}
