//! Loans: an application is scored, paid out on an account of its own, and paid back in equal instalments.
//!
//! A loan's terms are kept once, beside the transfer that pays it out. How far it is repaid is never stored: the debt on its
//! account says it, since every repayment is exactly one instalment of the schedule.

use serde::{Deserialize, Serialize};

use super::statement::{Statement, money};
use super::{Bank, BankError, CreditScore, IdempotencyKey, amortisation, own_account, score};
use crate::ledger::{
    Account, AccountId, AccountKind, Booked, Category, Command, Currency, CustomerId, NewAccount,
    NewTransfer, Operation, Receipt, Refusal, TransferId,
};

/// Smallest and largest loan, minor units.
pub const LOAN_MINOR: std::ops::RangeInclusive<i64> = 10_000..=5_000_000;
/// Fewest and most instalments.
pub const LOAN_MONTHS: std::ops::RangeInclusive<u16> = 3..=84;
/// Loans that one customer may have running.
const LOANS_RUNNING_MAX: usize = 3;
/// The lowest score that a loan is granted at.
const SCORE_MIN: u16 = 560;
/// Full months of history before a loan is granted.
const MONTHS_OF_HISTORY_MIN: u16 = 3;
/// All instalments together may take this many percent of the usual wages.
const INCOME_SHARE_PERCENT_MAX: i64 = 35;
/// The rate at the lowest score, in hundredths of a percent a year; it falls by 3 for every point above.
const RATE_BP_MAX: u32 = 1_290;
const RATE_BP_PER_POINT: u32 = 3;
/// Times that an application is scored anew because another one of the same customer came in between.
const ATTEMPTS_MAX: usize = 4;

/// What a customer asks for.
#[derive(Debug, Clone, Serialize)]
pub struct LoanApplication {
    /// The customer's current or savings account that the loan is paid out to and repaid from.
    pub account: AccountId,
    /// Minor units, within [`LOAN_MINOR`].
    pub amount_minor: i64,
    /// The currency of the account.
    pub currency: Currency,
    /// How many monthly instalments, within [`LOAN_MONTHS`].
    pub months: u16,
}

/// One month of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instalment {
    /// 1 for the first.
    pub number: u16,
    /// When it is due, unix milliseconds.
    pub due_ms: i64,
    /// The part that pays the debt back, minor units.
    pub principal_minor: i64,
    /// The part that is interest, minor units.
    pub interest_minor: i64,
}

impl Instalment {
    /// Both parts together, minor units.
    #[must_use]
    pub fn total_minor(&self) -> i64 {
        self.principal_minor.saturating_add(self.interest_minor)
    }
}

/// A loan as granted, and how far it is repaid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loan {
    /// Its account, which is also its id.
    pub id: AccountId,
    /// Where it was paid out to and is repaid from.
    pub account: AccountId,
    /// Minor units.
    pub principal_minor: i64,
    /// The currency.
    pub currency: Currency,
    /// Yearly rate in hundredths of a percent: 590 is 5.9 %.
    pub rate_bp: u32,
    /// When it was granted, unix milliseconds.
    pub granted_ms: i64,
    /// The principal parts sum to `principal_minor` exactly.
    pub schedule: Vec<Instalment>,
    /// How many instalments are repaid; the next is `schedule[instalments_paid]`.
    pub instalments_paid: u16,
    /// What is still owed, principal alone, minor units.
    pub outstanding_minor: i64,
}

impl Loan {
    /// The instalment that comes next; `None` when all is repaid.
    #[must_use]
    pub fn next_instalment(&self) -> Option<&Instalment> {
        self.schedule.get(usize::from(self.instalments_paid))
    }

    /// The loan as it stands when just so many instalments are paid.
    fn repaid_to(self, instalments_paid: u16) -> Self {
        let paid = self.schedule.iter().take(instalments_paid.into()).map(|paid| paid.principal_minor);
        let outstanding_minor = paid.fold(self.principal_minor, i64::saturating_sub);
        Self { instalments_paid, outstanding_minor, ..self }
    }
}

/// The answer to an application.
#[derive(Debug, Clone, PartialEq)]
pub enum LoanDecision {
    /// Paid out.
    Granted {
        /// The loan.
        loan: Loan,
        /// The score it was granted on.
        score: CreditScore,
    },
    /// Not granted; the score says why.
    Declined {
        /// The score, with reasons.
        score: CreditScore,
        /// The reason in a sentence.
        reason: String,
    },
}

/// What is kept of a loan.
#[derive(Serialize, Deserialize)]
struct Terms {
    account: AccountId,
    principal_minor: i64,
    currency: Currency,
    rate_bp: u32,
    months: u16,
    granted_ms: i64,
    score: CreditScore,
}

impl Bank {
    /// Scores an application and, when it is granted, opens the loan account and pays out, all in one.
    ///
    /// # Errors
    /// [`BankError::NotFound`] when the account is not the customer's; [`BankError::NotOffered`] outside amounts and terms.
    pub async fn apply_for_loan(
        &self,
        customer: &CustomerId,
        application: LoanApplication,
        key: Option<IdempotencyKey>,
        now_ms: i64,
    ) -> Result<LoanDecision, BankError> {
        let account = self.spending_account(customer, &application.account)?;
        check_offer(&application, &account)?;
        let receipt = key.map(|key| key.receipt(customer, "loan", &application)).transpose()?;
        for _ in 0..ATTEMPTS_MAX {
            match self.decide(customer, &application, receipt.clone(), now_ms).await {
                // Another application of this customer was granted since we looked: look again.
                Err(BankError::Refused(refusal))
                    if refusal.is_conflict() && refusal != Refusal::IdempotencyKeyReused => {}
                decided => return decided,
            }
        }
        Err(BankError::Unavailable)
    }

    /// The customer's loans, oldest first.
    ///
    /// # Errors
    /// [`BankError::Store`].
    pub fn loans(&self, customer: &CustomerId) -> Result<Vec<Loan>, BankError> {
        let accounts = self.accounts(customer)?;
        let loans = accounts.iter().filter(|account| account.kind == AccountKind::Loan);
        let mut loans =
            loans.map(|account| Ok(self.loan(account)?.0)).collect::<Result<Vec<_>, BankError>>()?;
        loans.sort_by(|a, b| (a.granted_ms, &a.id).cmp(&(b.granted_ms, &b.id)));
        Ok(loans)
    }

    /// Pays the next instalment from the account that the loan was paid out to.
    ///
    /// # Errors
    /// [`BankError::NotFound`] when the loan is not the customer's; [`BankError::NotOffered`] when all is repaid;
    /// [`BankError::Refused`] when the money is not there.
    pub async fn repay(
        &self,
        customer: &CustomerId,
        loan: &AccountId,
        key: Option<IdempotencyKey>,
        now_ms: i64,
    ) -> Result<Loan, BankError> {
        let loan = self.loan(&self.account(customer, loan)?)?.0;
        let receipt = key.map(|key| key.receipt(customer, "repayment", &loan.id)).transpose()?;
        let operations = match loan.next_instalment() {
            Some(instalment) => repayment(&loan, instalment)?,
            // A repetition of the last repayment still gets its answer; anything else is told that nothing is owed.
            None if receipt.is_some() => Vec::new(),
            None => return Err(BankError::NotOffered("This loan is repaid.")),
        };
        let booked = self.ledger.submit(Command { operations, receipt, at_ms: now_ms }).await?;
        // Of the instalment that was booked under this key: a repetition is told the same even after later instalments.
        let number = booked.transfers.first().and_then(|transfer| instalment_number(&transfer.id));
        Ok(loan.repaid_to(number.ok_or(BankError::NotOffered("This loan is repaid."))?))
    }

    async fn decide(
        &self,
        customer: &CustomerId,
        application: &LoanApplication,
        receipt: Option<Receipt>,
        now_ms: i64,
    ) -> Result<LoanDecision, BankError> {
        let statement = self.statement(customer, now_ms).await?;
        let loans = self.loans(customer)?;
        let id = self.next_loan_id(customer, &loans)?;
        let score = score::rate(&statement, &loans);
        let rate_bp = rate_bp(score.score);
        let schedule = amortisation::schedule(application.amount_minor, rate_bp, application.months, now_ms);
        let instalment_minor = schedule.first().map_or(0, Instalment::total_minor);
        let declined = reason_to_decline(&statement, &loans, &score, instalment_minor);
        let operations = match &declined {
            Some(_) => Vec::new(),
            None => {
                let terms = Terms {
                    account: application.account.clone(),
                    principal_minor: application.amount_minor,
                    currency: application.currency,
                    rate_bp,
                    months: application.months,
                    granted_ms: now_ms,
                    score: score.clone(),
                };
                payout(customer, id, &terms)?
            }
        };
        // Booked even when declined: the key then belongs to this application, whose answer may be an earlier grant.
        let booked = self.ledger.submit(Command { operations, receipt, at_ms: now_ms }).await?;
        match (self.granted(booked)?, declined) {
            (Some((loan, score)), _) => Ok(LoanDecision::Granted { loan, score }),
            (None, Some(reason)) => Ok(LoanDecision::Declined { score, reason }),
            (None, None) => {
                let reason = "This application was declined before; ask again with a new key.".to_owned();
                Ok(LoanDecision::Declined { score, reason })
            }
        }
    }

    /// The id that follows the loans that were counted, and no other: a loan granted meanwhile has taken it, so that this
    /// application is refused as a conflict and looked at again.
    fn next_loan_id(&self, customer: &CustomerId, loans: &[Loan]) -> Result<AccountId, BankError> {
        self.room_for_account(customer)?;
        Ok(AccountId::new(format!("{customer}-loan-{}", loans.len().saturating_add(1)))?)
    }

    fn granted(&self, booked: Booked) -> Result<Option<(Loan, CreditScore)>, BankError> {
        booked
            .accounts
            .first()
            .map(|opened| {
                let account = self.ledger.account(&opened.id)?.ok_or(BankError::NotFound)?;
                self.loan(&account)
            })
            .transpose()
    }

    fn loan(&self, account: &Account) -> Result<(Loan, CreditScore), BankError> {
        let kept = self.ledger.kept(&terms_key(&account.id))?.ok_or(BankError::NotFound)?;
        let terms: Terms = serde_json::from_slice(&kept).map_err(|e| BankError::Store(e.to_string()))?;
        let schedule =
            amortisation::schedule(terms.principal_minor, terms.rate_bp, terms.months, terms.granted_ms);
        let outstanding_minor = account.balance().saturating_neg();
        let repaid_minor = terms.principal_minor.saturating_sub(outstanding_minor);
        let mut sum = 0_i64;
        let paid = schedule.iter().take_while(|instalment| {
            sum = sum.saturating_add(instalment.principal_minor);
            sum <= repaid_minor
        });
        let instalments_paid = u16::try_from(paid.count()).unwrap_or(u16::MAX);
        let loan = Loan {
            id: account.id.clone(),
            account: terms.account,
            principal_minor: terms.principal_minor,
            currency: terms.currency,
            rate_bp: terms.rate_bp,
            granted_ms: terms.granted_ms,
            schedule,
            instalments_paid,
            outstanding_minor,
        };
        Ok((loan, terms.score))
    }
}

fn check_offer(application: &LoanApplication, account: &Account) -> Result<(), BankError> {
    if application.currency != account.currency {
        return Err(Refusal::WrongCurrency.into());
    }
    if !LOAN_MINOR.contains(&application.amount_minor) {
        return Err(BankError::NotOffered(
            "You can borrow from 100.00 to 50,000.00 EUR. Enter an amount between them.",
        ));
    }
    if !LOAN_MONTHS.contains(&application.months) {
        return Err(BankError::NotOffered("A loan runs for 3 to 84 months. Choose a term between them."));
    }
    Ok(())
}

fn rate_bp(score: u16) -> u32 {
    RATE_BP_MAX.saturating_sub(u32::from(score.saturating_sub(SCORE_MIN)) * RATE_BP_PER_POINT)
}

fn reason_to_decline(
    statement: &Statement,
    loans: &[Loan],
    score: &CreditScore,
    instalment_minor: i64,
) -> Option<String> {
    let running = loans.iter().filter_map(Loan::next_instalment);
    let burden = running.clone().map(Instalment::total_minor).fold(instalment_minor, i64::saturating_add);
    let income = statement.mean(|span| span.salary_minor).unwrap_or(0);
    let affordable = income.saturating_mul(INCOME_SHARE_PERCENT_MAX) / 100;
    if score.months_of_history < MONTHS_OF_HISTORY_MIN {
        Some(format!("We need to know you for {MONTHS_OF_HISTORY_MIN} full months before we lend to you."))
    } else if running.count() >= LOANS_RUNNING_MAX {
        Some(format!("You have {LOANS_RUNNING_MAX} loans running."))
    } else if score.score < SCORE_MIN {
        Some(format!("Your score of {} is below the {SCORE_MIN} that we lend from.", score.score))
    } else if burden > affordable {
        Some(format!(
            "Your instalments would come to {} a month; with your wages we lend up to {}.",
            money(burden, statement.currency),
            money(affordable, statement.currency)
        ))
    } else {
        None
    }
}

fn terms_key(loan: &AccountId) -> String {
    format!("loan/{loan}")
}

/// Ids of the bank's own making begin with `@`, which no customer's can.
fn loan_transfer(loan: &AccountId, what: &str) -> Result<TransferId, BankError> {
    Ok(TransferId::new(format!("@loan:{loan}:{what}"))?)
}

/// The number of the instalment that a transfer of [`repayment`] belongs to.
fn instalment_number(id: &TransferId) -> Option<u16> {
    id.as_str().rsplit_once('-')?.1.parse().ok()
}

fn payout(customer: &CustomerId, id: AccountId, terms: &Terms) -> Result<Vec<Operation>, BankError> {
    let content = serde_json::to_vec(terms).map_err(|e| BankError::Store(e.to_string()))?;
    let open = NewAccount {
        id: id.clone(),
        owner: Some(customer.clone()),
        kind: AccountKind::Loan,
        name: "Loan".to_owned(),
        currency: terms.currency,
    };
    let pay = NewTransfer {
        id: loan_transfer(&id, "payout")?,
        debit: id.clone(),
        credit: terms.account.clone(),
        amount_minor: terms.principal_minor,
        currency: terms.currency,
        category: Category::Loan,
        memo: "Loan paid out".to_owned(),
        timeout_ms: None,
    };
    Ok(vec![
        Operation::Open(open),
        Operation::Transfer(pay),
        Operation::Keep { key: terms_key(&id), value: content },
    ])
}

/// Principal to the loan, interest to the bank; a part of nothing is left out. The ids name the instalment, so that two
/// repayments at once are one.
fn repayment(loan: &Loan, instalment: &Instalment) -> Result<Vec<Operation>, BankError> {
    let interest_account = own_account(AccountKind::InterestIncome, loan.currency)?;
    let parts = [
        ("principal", loan.id.clone(), instalment.principal_minor, Category::Loan),
        ("interest", interest_account, instalment.interest_minor, Category::Interest),
    ];
    let parts = parts.into_iter().filter(|(_, _, amount_minor, _)| *amount_minor > 0);
    let operations = parts.map(|(part, credit, amount_minor, category)| {
        Ok(Operation::Transfer(NewTransfer {
            id: loan_transfer(&loan.id, &format!("{part}-{}", instalment.number))?,
            debit: loan.account.clone(),
            credit,
            amount_minor,
            currency: loan.currency,
            category,
            memo: format!("Instalment {} of {}", instalment.number, loan.schedule.len()),
            timeout_ms: None,
        }))
    });
    operations.collect()
}
