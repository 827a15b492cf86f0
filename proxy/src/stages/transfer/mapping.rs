//! From a request body to a [`TransferIntent`], by the route's configured mapping.
//!
//! The gateway judges what it reads, the upstream books what it reads: both must read the same. So bodies with
//! duplicate members or fields, with content codings, or of another media type than the mapping's are refused.

use std::time::Duration;

use http::{HeaderMap, HeaderName, header};
use policies::facts::TransferIntent;
use serde_json::Value;

use super::linking::Linking;
use crate::refusal::{Reason, Refusal};
use crate::strict_json;

/// How a route's body says what is to be transferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferMapping {
    /// Media type of the body.
    pub format: BodyFormat,
    /// JSON pointer (RFC 6901) or form field of the paying account.
    pub from: String,
    /// The same for the payee.
    pub to: String,
    /// The same for the amount.
    pub amount: String,
    /// The same for the currency.
    pub currency: String,
    /// How the amount is written.
    pub unit: AmountUnit,
    /// The header field of the idempotency key.
    pub idempotency_header: HeaderName,
    /// How long the application answers a second request of the same customer, client, key and content as it answered the
    /// first, and books nothing; less than that by more than a request may be under way. Zero: it makes no such promise, and every request is judged.
    pub repeats: Duration,
    /// How a token names the one payment it is good for; `None`: tokens pay by their scopes.
    pub linking: Option<Linking>,
}

/// Media types that a mapping reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyFormat {
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
}

/// How an amount is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AmountUnit {
    /// An integer of minor units: `1250`.
    Minor,
    /// Decimal text of major units with at most two places: `12.50`.
    Decimal,
}

/// Reads the intent.
///
/// # Errors
/// `request.body_unreadable` when the body is not what the mapping expects, in a way that could be read differently
/// elsewhere. The inside text names the field, never its value.
pub fn intent(
    mapping: &TransferMapping,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<TransferIntent, Refusal> {
    media_type(mapping.format, headers)?;
    let fields = match mapping.format {
        BodyFormat::Json => json_fields(mapping, body)?,
        BodyFormat::Form => form_fields(mapping, body)?,
    };
    let [from, to, amount, currency] = fields;
    let amount_minor = match mapping.unit {
        AmountUnit::Minor => amount.parse().ok(),
        AmountUnit::Decimal => decimal_minor(&amount),
    };
    let amount_minor = amount_minor
        .filter(|&a: &i64| a > 0)
        .ok_or_else(|| unreadable("the amount is not a positive amount"))?;
    let currency = <[u8; 3]>::try_from(currency.as_bytes())
        .ok()
        .filter(|c| c.iter().all(u8::is_ascii_uppercase))
        .ok_or_else(|| unreadable("the currency is not an ISO 4217 code"))?;
    let idempotency_key = idempotency_key(&mapping.idempotency_header, headers)?;
    Ok(TransferIntent { from, to, amount_minor, currency, idempotency_key })
}

fn unreadable(inside: &'static str) -> Refusal {
    Refusal::new(Reason::BodyUnreadable, inside)
}

fn media_type(format: BodyFormat, headers: &HeaderMap) -> Result<(), Refusal> {
    let wanted = match format {
        BodyFormat::Json => "application/json",
        BodyFormat::Form => "application/x-www-form-urlencoded",
    };
    let mut declared = headers.get_all(header::CONTENT_TYPE).iter();
    let value = declared.next().and_then(|v| v.to_str().ok()).unwrap_or_default();
    if declared.next().is_some() {
        return Err(unreadable("more than one Content-Type"));
    }
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let charset_fits =
        parts.all(|p| p.eq_ignore_ascii_case("charset=utf-8") || p.eq_ignore_ascii_case("charset=\"utf-8\""));
    if !essence.eq_ignore_ascii_case(wanted) || !charset_fits {
        return Err(unreadable("the media type is not the route's"));
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(unreadable("content coding on a scored body"));
    }
    Ok(())
}

/// The key, read as any application may read it: a field that stands twice, or in a second spelling that an application
/// may take for the first, names two keys; and a key cut to a length would name many.
fn idempotency_key(name: &HeaderName, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut declared = headers.iter().filter(|(field, _)| is_spelling_of(name, field));
    let Some((field, value)) = declared.next() else { return Ok(None) };
    if field != name || declared.next().is_some() {
        return Err(unreadable("more than one idempotency key"));
    }
    match value.to_str() {
        Ok(text) if text.len() <= IDEMPOTENCY_KEY_BYTES_MAX => {
            Ok(Some(text.to_owned()).filter(|t| !t.is_empty()))
        }
        Ok(_) => Err(unreadable("the idempotency key is too long")),
        Err(_) => Err(unreadable("the idempotency key is not text")),
    }
}

/// Longest idempotency key, bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// CGI and its heirs read `_` and `-` in the name of a field as one (RFC 3875 4.1.18).
fn is_spelling_of(name: &HeaderName, field: &HeaderName) -> bool {
    let fold = |c: u8| if c == b'_' { b'-' } else { c };
    name.as_str().len() == field.as_str().len()
        && name.as_str().bytes().map(fold).eq(field.as_str().bytes().map(fold))
}

fn json_fields(mapping: &TransferMapping, body: &[u8]) -> Result<[String; 4], Refusal> {
    let document = strict_json::parse(body, strict_json::Bounds::default())
        .map_err(|why| Refusal::new(Reason::BodyUnreadable, why))?;
    let text = |pointer: &str| match document.pointer(pointer) {
        Some(Value::String(text)) if !text.is_empty() && text.len() <= 256 => Ok(text.clone()),
        _ => Err(Refusal::new(Reason::BodyUnreadable, format!("{pointer} is not a short text"))),
    };
    let amount = match (document.pointer(&mapping.amount), mapping.unit) {
        (Some(Value::Number(number)), AmountUnit::Minor) => number
            .as_i64()
            .map(|n| n.to_string())
            .ok_or_else(|| unreadable("the amount is not an integer"))?,
        (Some(Value::String(text)), AmountUnit::Decimal) => text.clone(),
        _ => return Err(unreadable("the amount is missing or not of its type")),
    };
    Ok([text(&mapping.from)?, text(&mapping.to)?, amount, text(&mapping.currency)?])
}

fn form_fields(mapping: &TransferMapping, body: &[u8]) -> Result<[String; 4], Refusal> {
    let mut found: [Option<String>; 4] = Default::default();
    let names = [&mapping.from, &mapping.to, &mapping.amount, &mapping.currency];
    for (count, (name, value)) in url::form_urlencoded::parse(body).enumerate() {
        if count >= 200 {
            return Err(Refusal::new(Reason::TooComplex, "too many form fields"));
        }
        for (slot, wanted) in found.iter_mut().zip(names) {
            if name == wanted.as_str() && slot.replace(value.to_string()).is_some() {
                return Err(Refusal::new(Reason::BodyUnreadable, format!("field {wanted} stands twice")));
            }
        }
    }
    match found {
        [Some(from), Some(to), Some(amount), Some(currency)]
            if [&from, &to, &amount, &currency].iter().all(|f| !f.is_empty() && f.len() <= 256) =>
        {
            Ok([from, to, amount, currency])
        }
        _ => Err(unreadable("a field of the mapping is missing, empty or too long")),
    }
}

/// `12`, `12.5` or `12.50` to minor units; nothing else.
pub(super) fn decimal_minor(text: &str) -> Option<i64> {
    let (whole, cents) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |t: &str| !t.is_empty() && t.len() <= 15 && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(cents) || cents.len() > 2 {
        return None;
    }
    let cents: i64 = format!("{cents:0<2}").parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(cents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(format: BodyFormat, unit: AmountUnit) -> TransferMapping {
        let dot = if format == BodyFormat::Json { "/" } else { "" };
        TransferMapping {
            format,
            from: format!("{dot}from"),
            to: format!("{dot}to"),
            amount: format!("{dot}amount"),
            currency: format!("{dot}currency"),
            unit,
            idempotency_header: HeaderName::from_static("idempotency-key"),
            repeats: Duration::ZERO,
            linking: None,
        }
    }

    fn read(format: BodyFormat, unit: AmountUnit, media: &str, body: &str) -> Result<TransferIntent, Reason> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, media.parse().unwrap());
        intent(&mapping(format, unit), &headers, body.as_bytes()).map_err(|r| r.reason)
    }

    #[test]
    fn json_and_form_say_the_same() {
        let json = read(
            BodyFormat::Json,
            AmountUnit::Minor,
            "application/json; charset=utf-8",
            r#"{"from":"a","to":"b","amount":1250,"currency":"EUR","memo":"x"}"#,
        );
        let form = read(
            BodyFormat::Form,
            AmountUnit::Decimal,
            "application/x-www-form-urlencoded",
            "from=a&to=b&amount=12.5&currency=EUR&memo=x",
        );
        assert_eq!(json, form);
        assert_eq!(json.unwrap().amount_minor, 1250);
    }

    #[test]
    fn bodies_that_could_be_read_otherwise_are_refused() {
        for body in [
            r#"{"from":"a","to":"b","amount":1,"amount":100000,"currency":"EUR"}"#,
            r#"{"from":"a","to":"b","amount":1.5,"currency":"EUR"}"#,
            r#"{"from":"a","to":"b","amount":"1","currency":"EUR"}"#,
            r#"{"from":"a","to":"b","amount":-1,"currency":"EUR"}"#,
            r#"{"from":"a","to":"b","amount":0,"currency":"EUR"}"#,
            r#"{"from":"a","to":"b","amount":99999999999999999999,"currency":"EUR"}"#,
            r#"{"from":"a","to":"b","amount":1,"currency":"eur"}"#,
            r#"{"from":"a","to":["b"],"amount":1,"currency":"EUR"}"#,
            r#"{"from":"a","amount":1,"currency":"EUR"}"#,
            "from=a&to=b&amount=1&currency=EUR",
        ] {
            assert_eq!(
                read(BodyFormat::Json, AmountUnit::Minor, "application/json", body),
                Err(Reason::BodyUnreadable),
                "{body}"
            );
        }
        for body in [
            "from=a&to=b&to=c&amount=1&currency=EUR",
            "from=a&to=b&amount=1,50&currency=EUR",
            "from=a&to=b&amount=1.555&currency=EUR",
            "from=a&to=b&amount=1e3&currency=EUR",
            "from=a&to=&amount=1&currency=EUR",
            "from=a&to=b&amount=1",
        ] {
            assert_eq!(
                read(BodyFormat::Form, AmountUnit::Decimal, "application/x-www-form-urlencoded", body),
                Err(Reason::BodyUnreadable),
                "{body}"
            );
        }
        let good = r#"{"from":"a","to":"b","amount":1,"currency":"EUR"}"#;
        for media in ["text/plain", "application/json; charset=utf-7", "application/x-www-form-urlencoded"] {
            assert!(read(BodyFormat::Json, AmountUnit::Minor, media, good).is_err(), "{media}");
        }
    }
    #[test]
    fn a_key_that_could_be_read_otherwise_is_refused() {
        let key = |fields: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, value.parse().unwrap());
            }
            idempotency_key(&HeaderName::from_static("idempotency-key"), &headers).map_err(|r| r.reason)
        };
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[("idempotency-key", "")]), Ok(None), "an empty key names no request");
        assert_eq!(key(&[("idempotency-key", "a-1")]), Ok(Some("a-1".into())));
        let long = "k".repeat(256);
        for fields in [
            &[("idempotency-key", "a"), ("idempotency-key", "b")][..],
            &[("idempotency-key", "a"), ("idempotency_key", "b")],
            &[("idempotency_key", "b")],
            &[("idempotency-key", &long)],
        ] {
            assert_eq!(key(fields), Err(Reason::BodyUnreadable), "{fields:?}");
        }
    }
}
