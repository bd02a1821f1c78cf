//! JSON objects in bounds, with each member once. Readers differ on which of two equal members counts, so such an object
//! means nothing.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Objects and arrays inside of each other.
const DEEPEST: usize = 12;
/// Members and elements of one document, in total.
const MOST_VALUES: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonFault {
    /// It is no JSON object.
    Syntax,
    Duplicate,
    Bounds,
}

/// Parses one object and nothing after it.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, JsonFault> {
    let reading = Reading::default();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = Strict {
        reading: &reading,
        depth: 0,
    }
    .deserialize(&mut deserializer);
    let ended = deserializer.end();
    match parsed {
        Ok(Value::Object(object)) if ended.is_ok() => Ok(object),
        _ => Err(reading.fault.get().unwrap_or(JsonFault::Syntax)),
    }
}

#[derive(Default)]
struct Reading {
    values: Cell<usize>,
    /// What ended the reading, because the error of the parser is only text.
    fault: Cell<Option<JsonFault>>,
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    reading: &'a Reading,
    depth: usize,
}

impl Strict<'_> {
    fn fault<E: Error>(self, fault: JsonFault) -> E {
        self.reading.fault.set(Some(fault));
        E::custom("refused")
    }

    fn inner<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth + 1;
        match depth > DEEPEST {
            true => Err(self.fault(JsonFault::Bounds)),
            false => Ok(Self { depth, ..self }),
        }
    }

    fn count<E: Error>(self) -> Result<(), E> {
        let values = self.reading.values.get() + 1;
        self.reading.values.set(values);
        match values > MOST_VALUES {
            true => Err(self.fault(JsonFault::Bounds)),
            false => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        number
            .map(Value::Number)
            .ok_or_else(|| self.fault(JsonFault::Syntax))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            self.count()?;
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            self.count()?;
            if object.contains_key(&name) {
                return Err(self.fault(JsonFault::Duplicate));
            }
            object.insert(name, members.next_value_seed(inner)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_object_with_members_of_different_names() {
        let good = parse_object(br#" {"a":[1,-2,0.5,null,true,"\u00e4"],"b":{"a":1}} "#).unwrap();
        assert_eq!(good.len(), 2);
        let deep = |n: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        let many = |n: usize| format!(r#"{{"a":[{}0]}}"#, "0,".repeat(n));
        for (text, fault) in [
            ("", JsonFault::Syntax),
            ("[]", JsonFault::Syntax),
            ("{} {}", JsonFault::Syntax),
            ("{}\0", JsonFault::Syntax),
            ("{'a':1}", JsonFault::Syntax),
            (r#"{"a":1e999}"#, JsonFault::Syntax),
            (r#"{"a":NaN}"#, JsonFault::Syntax),
            (r#"{"a":"\ud800"}"#, JsonFault::Syntax),
            (r#"{"a":1,"a":1}"#, JsonFault::Duplicate),
            (r#"{"a":1,"\u0061":1}"#, JsonFault::Duplicate),
            (r#"{"b":[{"a":1,"a":2}]}"#, JsonFault::Duplicate),
            (&deep(DEEPEST), JsonFault::Bounds),
            (&many(MOST_VALUES), JsonFault::Bounds),
        ] {
            assert_eq!(parse_object(text.as_bytes()), Err(fault), "{text:.40}");
        }
        assert!(parse_object(deep(DEEPEST - 1).as_bytes()).is_ok());
        assert!(parse_object(many(MOST_VALUES - 2).as_bytes()).is_ok());
        assert_eq!(parse_object(b"{\"a\":\"\xff\"}"), Err(JsonFault::Syntax));
    }
}
