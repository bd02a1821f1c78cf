//! Each way to write a shadow, and what is left after it was taken over.

use super::*;

fn promoted(text: &str, policy: &str) -> Result<String, PromotionError> {
    let diagnostics = Diagnostics::default();
    let source = Source::new(Path::new("it.toml"), text.to_owned(), 0);
    let table = reader::parse(&source, &diagnostics);
    let document = Document::new(std::iter::once((&source, &table)), &diagnostics);
    let promotion = promote(&document, policy)?;
    assert_eq!(promotion.path, Path::new("it.toml"));
    assert_eq!(promotion.before, text);
    Ok(promotion.after)
}

#[test]
fn a_shadow_in_one_line_is_taken_over() {
    let text = r#"
[policies.a]   # ours
mode = "block"
rules = ["a.conf"]  # what is live
shadow = { rules = ["b.conf", "c.conf"], sample = 0.5 }  # what comes
waf_budget_ms = 5
"#;
    let expected = r#"
[policies.a]   # ours
mode = "block"
rules = ["b.conf", "c.conf"]  # what is live
waf_budget_ms = 5
"#;
    assert_eq!(promoted(text, "a").as_deref(), Ok(expected));
}

#[test]
fn a_shadow_with_a_header_is_taken_over() {
    let text = r#"
[policies.a]
mode = "block"
rules = ["a.conf"]
crs = { paranoia_level = 1 }
[policies.a.shadow]
rules = [
    "b.conf",  # what comes
]
crs = { paranoia_level = 2, arg_length = 400 }
sample = 0.5
[policies.b]
mode = "off"
"#;
    let expected = r#"
[policies.a]
mode = "block"
rules = [
    "b.conf",  # what comes
]
crs = { paranoia_level = 2, arg_length = 400 }
[policies.b]
mode = "off"
"#;
    assert_eq!(promoted(text, "a").as_deref(), Ok(expected));
}

#[test]
fn dotted_keys_and_tables_of_variables_are_taken_over() {
    let text = r#"
[policies.a]
mode = "block"
rules = ["@baseline"]
shadow.rules = [
    "@baseline", "b.conf",
]
shadow.sample = 0.5
[policies.a.crs]
paranoia_level = 1
arg_length = 400
[policies.a.shadow.crs]
paranoia_level = 2
"#;
    let expected = r#"
[policies.a]
mode = "block"
rules = [
    "@baseline", "b.conf",
]
crs = { paranoia_level = 2 }
"#;
    assert_eq!(promoted(text, "a").as_deref(), Ok(expected));
}

#[test]
fn variables_alone_leave_the_rules() {
    let text = r#"
[policies.a]
mode = "block"
shadow = { crs = { paranoia_level = 2 } }
rules = ["a.conf"]
"#;
    let expected = r#"
[policies.a]
mode = "block"
rules = ["a.conf"]
crs = { paranoia_level = 2 }
"#;
    assert_eq!(promoted(text, "a").as_deref(), Ok(expected));
}

#[test]
fn what_cannot_be_edited_is_left_to_its_author() {
    let text = r#"policies.a = { mode = "block", rules = ["a"], shadow = { rules = ["b"], crs = { arg_length = 1 } } }"#;
    let by_hand = "rules = [\"b\"]\ncrs = { arg_length = 1 }\n".to_owned();
    assert_eq!(promoted(text, "a"), Err(PromotionError::ByHand(by_hand)));
    assert_eq!(promoted(text, "b"), Err(PromotionError::NoPolicy));
    let text = "[policies.a]\nmode = \"off\"\n";
    assert_eq!(promoted(text, "a"), Err(PromotionError::NoShadow));
}
