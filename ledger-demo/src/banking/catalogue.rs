//! The outsiders that the demo bank knows: employers and shops.

use crate::ledger::Category;

/// Somebody outside the bank who pays or takes payments.
#[derive(Debug, Clone, Copy)]
pub struct Payee {
    /// The account to pay to.
    pub account: &'static str,
    /// The name for people.
    pub name: &'static str,
    /// What money between them and a customer is for.
    pub category: Category,
}

const PAYEES: [Payee; 10] = [
    Payee { account: "employer-northwind", name: "Northwind Works", category: Category::Salary },
    Payee { account: "employer-harbour", name: "Harbour Clinic", category: Category::Salary },
    Payee { account: "landlord-elm", name: "Elm Street Homes", category: Category::Rent },
    Payee { account: "grocer-market", name: "Market Grocer", category: Category::Groceries },
    Payee { account: "grocer-corner", name: "Corner Grocer", category: Category::Groceries },
    Payee { account: "cafe-lantern", name: "Lantern Café", category: Category::Dining },
    Payee { account: "energy-bright", name: "Bright Energy", category: Category::Utilities },
    Payee { account: "phone-clear", name: "Clear Telephone", category: Category::Utilities },
    Payee { account: "rail-city", name: "City Rail", category: Category::Transport },
    Payee { account: "store-meridian", name: "Meridian Store", category: Category::Shopping },
];

/// All of them, in no particular order.
#[must_use]
pub fn payees() -> &'static [Payee] {
    &PAYEES
}

/// What a payment to this account is for, when the bank knows the payee.
pub(super) fn category_of(account: &str) -> Option<Category> {
    PAYEES.iter().find(|payee| payee.account == account).map(|payee| payee.category)
}
