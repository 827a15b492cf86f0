//! Books that cannot be trusted are said to be so; they are never taken for shorter or empty ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use ledger_demo::banking::Bank;
use ledger_demo::mark::Mark;
use ledger_demo::seed::{DEMO_SEED, seed};

/// What happens to the store's file.
type Damage = fn(&Path);

const NOW_MS: i64 = 1_790_000_000_000;

async fn make(books: &Path) {
    let db = ledger_demo::open_store(books).unwrap();
    let bank = Bank::open(&db, 0).await.unwrap();
    seed(&bank, DEMO_SEED, NOW_MS).await.unwrap();
    Mark::beside(books).check(&bank).await.unwrap();
    Mark::beside(books).advance(&bank, NOW_MS).await.unwrap();
}

/// Why the bank does not open: sled's own word, where it notices, or the mark's.
async fn open(books: &Path) -> Result<(), String> {
    let db = ledger_demo::open_store(books).map_err(|error| error.to_string())?;
    let bank = Bank::open(&db, NOW_MS).await.map_err(|error| error.to_string())?;
    Mark::beside(books).check(&bank).await.map_err(|error| error.to_string())
}

#[test]
fn a_store_that_is_none_or_in_use_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"not a folder").unwrap();
    assert!(ledger_demo::open_store(&file).is_err());
    let books = folder.path().join("books");
    let _held = ledger_demo::open_store(&books).unwrap();
    assert!(ledger_demo::open_store(&books).is_err(), "one process alone writes");
}

#[tokio::test]
async fn books_that_lost_something_do_not_open() {
    let damages: [(&str, Damage); 4] = [
        ("cut short", |file| {
            let bytes = std::fs::read(file).unwrap();
            std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("overwritten", |file| {
            let len = std::fs::metadata(file).unwrap().len();
            std::fs::write(file, vec![0; usize::try_from(len).unwrap()]).unwrap();
        }),
        ("emptied", |file| std::fs::write(file, b"").unwrap()),
        ("gone", |file| std::fs::remove_file(file).unwrap()),
    ];
    for (what, damage) in damages {
        let folder = tempfile::tempdir().unwrap();
        let books = folder.path().join("books");
        make(&books).await;
        open(&books).await.unwrap_or_else(|error| panic!("unharmed: {error}"));
        damage(&books.join("db"));
        // In a task, since sled panics over some damages; a bank that ends so has not opened either.
        let told = tokio::spawn(async move { open(&books).await }).await;
        assert!(!matches!(told, Ok(Ok(()))), "{what}");
    }
}

#[tokio::test]
async fn a_mark_that_is_no_number_is_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    let books = folder.path().join("books");
    make(&books).await;
    std::fs::write(folder.path().join("books.mark"), b"many").unwrap();
    assert!(open(&books).await.unwrap_err().starts_with("the mark beside the books"));
}
