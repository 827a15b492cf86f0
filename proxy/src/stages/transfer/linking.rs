//! Dynamic linking: a token that was granted for one payment is good for that payment, once (RFC 9396; Commission Delegated
//! Regulation (EU) 2018/389, article 5).

use policies::facts::{Credential, Identity, TransferIntent};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::mapping::{AmountUnit, decimal_minor};
use crate::refusal::{Reason, Refusal};

/// How long it is remembered that an authorisation with an identifier of its own was spent: as long as tokens that carry it
/// again may be issued, milliseconds.
const IDENTIFIED_MS: i64 = 30 * 86_400_000;
/// Authorisations read from one token.
const DETAILS_MAX: usize = 32;

/// How a token's `authorization_details` name the payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linking {
    /// The `type` of details that are payments.
    pub kind: String,
    /// JSON pointer (RFC 6901), inside one of the details, of the paying account; `None`: details name none.
    pub from: Option<String>,
    /// The same of the payee.
    pub to: String,
    /// The same of the amount.
    pub amount: String,
    /// The same of the currency.
    pub currency: String,
    /// How the amount is written.
    pub unit: AmountUnit,
    /// Whether a token without such details is refused; if not, it pays by its scopes. A session always does.
    pub required: bool,
    /// Whether each of them has to name itself (`identifier`, RFC 9396 2.2). One that does not is told from others by its
    /// token alone, and so counts once more in a token that was refreshed.
    pub identified: bool,
}

/// A payment that a token authorises, to be spent when it is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authorisation {
    /// What must not be spent twice.
    pub key: [u8; 32],
    /// How long that is remembered, Unix milliseconds.
    pub expires_ms: i64,
}

/// The authorisations of `identity` that are for exactly this transfer, at one of `resources`, which are the names of this
/// application; none where it needs none.
///
/// # Errors
/// `token.authorization_details` where its details, or the lack of them, do not allow the transfer.
pub fn authorised(
    linking: &Linking,
    identity: &Identity,
    intent: &TransferIntent,
    resources: &[&str],
    now_ms: i64,
) -> Result<Vec<Authorisation>, Refusal> {
    let refused = |inside: &'static str| Refusal::new(Reason::TransferNotAuthorised, inside);
    let details = match &identity.authorization_details {
        None => &[][..],
        Some(Value::Array(details)) if details.len() <= DETAILS_MAX => details,
        Some(_) => return Err(refused("authorization_details is no list, or a very long one")),
    };
    let payments: Vec<_> = details.iter().enumerate().filter(|(_, d)| d["type"] == *linking.kind).collect();
    if payments.is_empty() {
        let inside = "the token carries no authorisation for a payment";
        let needed = linking.required && identity.credential != Credential::Session;
        return if needed { Err(refused(inside)) } else { Ok(Vec::new()) };
    }
    let fitting: Vec<Authorisation> = payments
        .into_iter()
        .filter(|(_, detail)| linking.fits(detail, intent) && is_here(detail, resources))
        .filter(|(_, detail)| !linking.identified || identifier(detail).is_some())
        .map(|(place, detail)| authorisation(identity, place, detail, now_ms))
        .collect();
    if fitting.is_empty() { Err(refused("the transfer is not the one authorised")) } else { Ok(fitting) }
}

impl Linking {
    fn fits(&self, detail: &Value, intent: &TransferIntent) -> bool {
        let is =
            |pointer: &str, wanted: &str| detail.pointer(pointer).and_then(Value::as_str) == Some(wanted);
        let amount = match (detail.pointer(&self.amount), self.unit) {
            (Some(Value::Number(number)), AmountUnit::Minor) => number.as_i64(),
            (Some(Value::String(text)), AmountUnit::Decimal) => decimal_minor(text),
            _ => None,
        };
        amount == Some(intent.amount_minor)
            && is(&self.to, &intent.to)
            && is(&self.currency, intent.currency_code())
            && self.from.as_deref().is_none_or(|from| is(from, &intent.from))
    }
}

/// `locations` (RFC 9396 2.2): where there are any, this has to be one.
fn is_here(detail: &Value, resources: &[&str]) -> bool {
    match detail.get("locations") {
        None => true,
        Some(Value::Array(named)) => {
            named.iter().filter_map(Value::as_str).any(|location| resources.contains(&location))
        }
        Some(_) => false,
    }
}

fn identifier(detail: &Value) -> Option<&str> {
    detail["identifier"].as_str().filter(|identifier| !identifier.is_empty())
}

/// One that names itself is the same in whatever token; another is its token's.
fn authorisation(identity: &Identity, place: usize, detail: &Value, now_ms: i64) -> Authorisation {
    let token = identity.token_id.as_deref().unwrap_or_default();
    let (name, expires_ms) = match identifier(detail) {
        Some(identifier) => (("identifier", identifier, 0, 0), now_ms.saturating_add(IDENTIFIED_MS)),
        None => (("token", token, identity.issued_at, place), 0),
    };
    let words = serde_json::json!([identity.issuer, identity.subject, identity.client_id, name]);
    Authorisation {
        key: Sha256::digest(format!("authorisation {words}")).into(),
        expires_ms: expires_ms.max(identity.expires_at.saturating_mul(1000).saturating_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn linking() -> Linking {
        Linking {
            kind: "payment_initiation".into(),
            from: None,
            to: "/creditorAccount/iban".into(),
            amount: "/instructedAmount/amount".into(),
            currency: "/instructedAmount/currency".into(),
            unit: AmountUnit::Decimal,
            required: true,
            identified: false,
        }
    }

    const HERE: [&str; 2] = ["urn:bank", "https://bank.example"];

    fn identity(details: Option<Value>) -> Identity {
        Identity {
            issuer: "https://login.example".into(),
            subject: "alice".into(),
            client_id: "app".into(),
            scopes: Vec::new(),
            roles: Vec::new(),
            acr: None,
            auth_time: None,
            issued_at: 1_000,
            expires_at: 2_000,
            token_id: Some("t1".into()),
            session_id: None,
            credential: Credential::Bearer,
            authorization_details: details,
        }
    }

    fn intent() -> TransferIntent {
        TransferIntent {
            from: "a".into(),
            to: "DE1".into(),
            amount_minor: 12_350,
            currency: *b"EUR",
            idempotency_key: None,
        }
    }

    fn payment(changes: &[(&str, Value)]) -> Value {
        let mut detail = json!({
            "type": "payment_initiation", "instructedAmount": { "currency": "EUR", "amount": "123.50" },
            "creditorAccount": { "iban": "DE1" }, "debtor": "a",
        });
        for (pointer, value) in changes {
            *detail.pointer_mut(pointer).unwrap() = value.clone();
        }
        detail
    }

    fn judge(linking: &Linking, details: Option<Value>) -> Result<usize, Reason> {
        let found = authorised(linking, &identity(details), &intent(), &HERE, 1_500_000);
        found.map(|found| found.len()).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn a_token_is_good_for_the_payment_it_names_and_no_other() {
        let refused = Err(Reason::TransferNotAuthorised);
        let other = json!({ "type": "account_information" });
        for (details, required, wanted) in [
            (json!([payment(&[])]), true, Ok(1)),
            (json!([other, payment(&[])]), true, Ok(1)),
            (json!([payment(&[]), payment(&[])]), true, Ok(2)),
            (json!([payment(&[("/instructedAmount/amount", json!("123.5"))])]), true, Ok(1)),
            (json!([payment(&[("/instructedAmount/amount", json!("123.51"))])]), true, refused),
            (json!([payment(&[("/instructedAmount/amount", json!("1235.0"))])]), true, refused),
            (json!([payment(&[("/instructedAmount/amount", json!(123.5))])]), true, refused),
            (json!([payment(&[("/instructedAmount/currency", json!("CHF"))])]), true, refused),
            (json!([payment(&[("/creditorAccount/iban", json!("DE2"))])]), true, refused),
            (json!([payment(&[("/creditorAccount/iban", json!(["DE1"]))])]), true, refused),
            (json!([payment(&[("/type", json!("Payment_Initiation"))])]), true, refused),
            (json!([other]), true, refused),
            (json!([other]), false, Ok(0)),
            (json!([]), true, refused),
            (json!(payment(&[])), true, refused),
            (json!(payment(&[])), false, refused),
            (json!(vec![payment(&[]); 33]), true, refused),
            // A payment that is named binds, whether or not it had to be.
            (json!([payment(&[("/creditorAccount/iban", json!("DE2"))])]), false, refused),
        ] {
            let linking = Linking { required, ..linking() };
            assert_eq!(judge(&linking, Some(details.clone())), wanted, "{details}");
        }
        assert_eq!(judge(&linking(), None), refused);
        assert_eq!(judge(&Linking { required: false, ..linking() }, None), Ok(0));
        let session = Identity { credential: Credential::Session, ..identity(None) };
        assert_eq!(
            authorised(&linking(), &session, &intent(), &HERE, 0).map_err(|r| r.reason),
            Ok(Vec::new())
        );
        for (locations, wanted) in [
            (json!(["https://bank.example"]), Ok(1)),
            (json!(["https://other.example", "urn:bank"]), Ok(1)),
            (json!(["https://other.example"]), refused),
            (json!([]), refused),
            (json!("https://bank.example"), refused),
        ] {
            let mut detail = payment(&[]);
            detail["locations"] = locations.clone();
            assert_eq!(judge(&linking(), Some(json!([detail]))), wanted, "{locations}");
        }
        let identified = Linking { identified: true, ..linking() };
        assert_eq!(judge(&identified, Some(json!([payment(&[])]))), refused);
        for (identifier, wanted) in [(json!("pay-7"), Ok(1)), (json!(""), refused), (json!(7), refused)] {
            let mut detail = payment(&[]);
            detail["identifier"] = identifier.clone();
            assert_eq!(judge(&identified, Some(json!([detail]))), wanted, "{identifier}");
        }
        let from = Linking { from: Some("/debtor".into()), ..linking() };
        assert_eq!(judge(&from, Some(json!([payment(&[])]))), Ok(1));
        assert_eq!(judge(&from, Some(json!([payment(&[("/debtor", json!("b"))])]))), refused);
    }

    #[test]
    fn authorisations_are_told_apart() {
        let mut named = payment(&[]);
        named["identifier"] = json!("pay-7");
        let key =
            |identity: &Identity| authorised(&linking(), identity, &intent(), &HERE, 1_500_000).unwrap()[0];
        let [plain, with_name] = [payment(&[]), named].map(|detail| identity(Some(json!([detail]))));
        let again = |identity: &Identity| Identity { token_id: Some("t2".into()), ..identity.clone() };
        assert_ne!(key(&plain).key, key(&again(&plain)).key, "another token's");
        assert_eq!(key(&with_name).key, key(&again(&with_name)).key, "the same, in another token");
        assert_ne!(key(&with_name).key, key(&Identity { subject: "bob".into(), ..with_name.clone() }).key);
        assert!(key(&plain).expires_ms > plain.expires_at * 1000);
        assert_eq!(key(&with_name).expires_ms, 1_500_000 + IDENTIFIED_MS);
        let two = identity(Some(json!([payment(&[]), payment(&[])])));
        let both = authorised(&linking(), &two, &intent(), &HERE, 0).unwrap();
        assert_ne!(both[0].key, both[1].key, "a payment that was authorised twice");
    }
}
