//! The console asks the admin API inside of this process, so that a page, the API and the command line say the same.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::admin::{Method, Request, Response, Router};
use crate::review::escape::show;

/// Texts of several lines, which are shown as such.
const TEXTS: [&str; 4] = ["head", "body", "seclang", "tests"];
/// Those of them that people copy into files, so that a backslash must stay one.
const FILES: [&str; 2] = ["seclang", "tests"];

/// The API, as one caller asks it.
pub(super) struct Api {
    router: Arc<Router>,
    /// For the audit.
    caller: String,
}

/// What the API refused, in its words.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) status: u16,
    pub(super) words: String,
}

impl Api {
    pub(super) fn new(router: &Arc<Router>, caller: String) -> Self {
        let router = Arc::clone(router);
        Self { router, caller }
    }

    /// # Errors
    /// The API refused, or answered what a page does not understand.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &str,
    ) -> Result<T, ApiError> {
        read(self.ask(Method::Get, path, query, Vec::new()).await)
    }

    /// # Errors
    /// The API refused, or answered what a page does not understand.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, ApiError> {
        read(
            self.ask(Method::Post, path, "", body.to_string().into_bytes())
                .await,
        )
    }

    async fn ask(&self, method: Method, path: &str, query: &str, body: Vec<u8>) -> Response {
        let request = Request {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            accept: String::new(),
            rest: String::new(),
            body,
            caller: self.caller.clone(),
            // The console judged the role already.
            denial: None,
        };
        self.router.answer(request).await
    }
}

fn read<T: DeserializeOwned>(response: Response) -> Result<T, ApiError> {
    let mut value: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    // A reload that refused a part says so in its body.
    let is_outcome = response.status == 422 && value.get("refused").is_some();
    if !(200..300).contains(&response.status) && !is_outcome {
        let words = value.get("error").and_then(Value::as_str);
        return Err(ApiError {
            status: response.status,
            words: words.unwrap_or("the API refused this").to_owned(),
        });
    }
    cut_at_spans(&mut value);
    serde_json::from_value(made_visible(value)).map_err(|error| ApiError {
        status: 500,
        words: format!("a fault of our own: the page does not understand the API: {error}"),
    })
}

/// Adds to each match what stands before, in and after its span. Now, because the span counts bytes of the text as it is
/// kept, not as it is shown.
fn cut_at_spans(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(cut_at_spans),
        Value::Object(fields) => {
            if let Some(parts) = parts(fields) {
                fields.insert("parts".to_owned(), Value::from(parts.to_vec()));
            }
            fields.values_mut().for_each(cut_at_spans);
        }
        _ => {}
    }
}

fn parts(fields: &Map<String, Value>) -> Option<[&str; 3]> {
    let span = fields.get("span")?.as_array()?;
    let bound = |at: usize| usize::try_from(span.get(at)?.as_u64()?).ok();
    let (start, end) = (bound(0)?, bound(1)?);
    // The operator saw the transformed value, so the span counts its bytes.
    let text = fields
        .get("transformed")
        .or(fields.get("value"))?
        .as_str()?;
    // A span counts bytes and may cut a character; then nothing is marked.
    Some([text.get(..start)?, text.get(start..end)?, text.get(end..)?])
}

/// The value with every control character made visible: texts come from clients, and a page shows them. Templates escape
/// them for HTML besides.
fn made_visible(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(show(text.as_bytes())),
        Value::Array(values) => values.into_iter().map(made_visible).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let value = match value {
                    Value::String(text) if TEXTS.contains(&name.as_str()) => {
                        Value::String(visible_lines(&text, FILES.contains(&name.as_str())))
                    }
                    other => made_visible(other),
                };
                (show(name.as_bytes()), value)
            });
            Value::Object(fields.collect())
        }
        other => other,
    }
}

fn visible_lines(text: &str, is_file: bool) -> String {
    let lines = text.split('\n').map(|line| {
        // Each line of a head ends with CR, which a reader need not see.
        let line = show(line.strip_suffix('\r').unwrap_or(line).as_bytes());
        match is_file {
            // `show` doubles backslashes.
            true => line.replace("\\\\", "\\"),
            false => line,
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_match_is_cut_at_its_span_and_only_where_it_fits() {
        let cut = |given: Value| {
            let mut value = given;
            cut_at_spans(&mut value);
            made_visible(value)["parts"].clone()
        };
        assert_eq!(
            cut(json!({"value": "ab\ncd", "span": [1, 3]})),
            json!(["a", "b\\n", "cd"])
        );
        assert_eq!(
            cut(json!({"value": "AB", "transformed": "xyz", "span": [0, 3]})),
            json!(["", "xyz", ""])
        );
        for (text, span) in [
            ("abc", json!([1, 9])),
            ("é", json!([0, 1])),
            ("a", json!(null)),
        ] {
            assert_eq!(cut(json!({"value": text, "span": span})), Value::Null);
        }
    }

    #[test]
    fn control_characters_are_visible_and_texts_keep_their_lines() {
        let shown = made_visible(json!({
            "path": "/a\n\u{202e}",
            "head": "GET /\u{1b}\\ HTTP/1.1\r\nhost: x\r\n",
            "seclang": "SecRule A \"@rx \\d\" \\\n    \"id:1\u{1b}\"",
            "n": [1, "\t"],
        }));
        let expected = json!({
            "path": "/a\\n\\u{202e}",
            "head": "GET /\\u{1b}\\\\ HTTP/1.1\nhost: x\n",
            "seclang": "SecRule A \"@rx \\d\" \\\n    \"id:1\\u{1b}\"",
            "n": [1, "\\t"],
        });
        assert_eq!(shown, expected);
    }
}
