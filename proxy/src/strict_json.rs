//! JSON as one reader only can read it.
//!
//! Parsers disagree on duplicate members (first, last, or an error), on depth and on numbers out of range. A body whose
//! meaning is decided here and acted upon elsewhere must mean one thing, so all of these are refused.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Bounds of a document.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Nesting of arrays and objects.
    pub depth_max: u32,
    /// Members and elements altogether.
    pub values_max: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { depth_max: 16, values_max: 2_000 }
    }
}

/// Parses `text` within `bounds`, without duplicate members and with nothing after the value (RFC 8259 section 4).
///
/// # Errors
/// What is wrong, in words without the input.
pub fn parse(text: &[u8], bounds: Bounds) -> Result<Value, String> {
    let mut left = bounds.values_max;
    let mut source = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth_left: bounds.depth_max, values_left: &mut left }
        .deserialize(&mut source)
        .map_err(|e| format!("{e}"))?;
    source.end().map_err(|_| "text after the JSON value".to_owned())?;
    Ok(value)
}

struct Strict<'a> {
    depth_left: u32,
    values_left: &'a mut u32,
}

impl Strict<'_> {
    fn deeper<E: Error>(&mut self) -> Result<Strict<'_>, E> {
        let depth_left = self.depth_left.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        *self.values_left = self.values_left.checked_sub(1).ok_or_else(|| E::custom("too many values"))?;
        Ok(Strict { depth_left, values_left: self.values_left })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(self.deeper()?)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom("a member stands twice"));
            }
            let value = members.next_value_seed(self.deeper()?)?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_documents_are_read() {
        let text = br#"{"a":[1,2.5,"x",null,true],"b":{"c":-3}}"#;
        let want: Value = serde_json::from_slice(text).unwrap();
        assert_eq!(parse(text, Bounds::default()).unwrap(), want);
    }

    #[test]
    fn documents_with_two_readings_are_refused() {
        let deep = "[".repeat(40) + &"]".repeat(40);
        let wide = format!("[{}1]", "1,".repeat(3000));
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"to":"a","to":"b"}}"#,
            r#"{"a":1} {"a":2}"#,
            r#"{"a":1}x"#,
            r#"{"a":01}"#,
            r#"{"a":1e999}"#,
            r#"{'a':1}"#,
            "",
            deep.as_str(),
            wide.as_str(),
        ] {
            assert!(parse(text.as_bytes(), Bounds::default()).is_err(), "{text:.40}");
        }
    }
}
