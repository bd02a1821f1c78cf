//! The lists within arguments: targets, an operator, actions.
//!
//! Each is read in one pass, and a problem keeps its place in the file through all quotes and continued lines.
//!
//! Source: ModSecurity v2 Reference Manual, "Configuration Directives" (`SecRule`), "Actions".

use std::cell::Cell;
use std::ops::Range;

use super::ast::{ActionSyntax, OperatorSyntax, Selector, SourceId, Span, Spanned, TargetSyntax};
use super::pieced::{Cursor, Pieced, is_blank};
use super::word::{Fault, Word};

/// What parsing one argument needs, and the warnings that it adds.
pub(super) struct Context<'a> {
    pub file: SourceId,
    pub steps: &'a Cell<usize>,
    pub warnings: &'a mut Vec<Fault>,
}

/// `[!|&]VARIABLE[:SELECTOR]`, separated by `|` or `,`.
pub(super) fn targets(word: &Word, cx: &mut Context<'_>) -> Result<Vec<TargetSyntax>, Fault> {
    let mut cursor = Cursor::new(&word.value, cx.steps);
    let mut targets = Vec::new();
    while more(&mut cursor, cx.file, "a variable")? {
        targets.push(target(&mut cursor, cx.file)?);
        separator(&mut cursor, cx, targets.last().is_some_and(has_selector))?;
    }
    match targets.is_empty() {
        true => Err(Fault::new(word.span, "no variable is named here")),
        false => Ok(targets),
    }
}

/// `[!][@NAME] ARGUMENT`.
pub(super) fn operator(word: &Word, cx: &mut Context<'_>) -> Result<OperatorSyntax, Fault> {
    let text = &word.value;
    let mut cursor = Cursor::new(text, cx.steps);
    let leading = cursor.skip_blanks();
    if !leading.is_empty() && matches!(cursor.rest().as_bytes(), [b'@', ..] | [b'!', b'@', ..]) {
        return Err(
            Fault::new(text.span(cx.file, leading), "a blank before the operator").with_help(
                "ModSecurity would take all of it for a regular expression; remove the blank",
            ),
        );
    }
    // Blanks before a pattern are part of it.
    cursor.at = 0;
    let negated = cursor.eat(b'!');
    if negated {
        cursor.skip_blanks();
    }
    let start = cursor.at;
    let name = match cursor.eat(b'@') {
        true => {
            let name = cursor.until(is_blank);
            if name.is_empty() {
                let span = text.span(cx.file, start..cursor.at);
                return Err(Fault::new(span, "no operator is named after `@`"));
            }
            cursor.skip_blanks();
            spanned(text, cx.file, name)
        }
        false => Spanned {
            node: "rx".to_owned(),
            // No name is written, so the whole argument stands for it.
            span: whole(word, cx.file, start),
        },
    };
    Ok(OperatorSyntax {
        negated,
        name,
        argument: Spanned {
            node: cursor.rest().to_owned(),
            span: text.span(cx.file, cursor.at..text.text().len()),
        },
        span: word.span,
    })
}

/// `NAME[:ARGUMENT]`, separated by commas.
pub(super) fn actions(word: &Word, cx: &mut Context<'_>) -> Result<Vec<ActionSyntax>, Fault> {
    let mut cursor = Cursor::new(&word.value, cx.steps);
    let mut actions = Vec::new();
    while more(&mut cursor, cx.file, "an action")? {
        actions.push(action(&mut cursor, cx.file)?);
        let valued = actions.last().is_some_and(|a| a.argument.is_some());
        separator(&mut cursor, cx, valued)?;
    }
    Ok(actions)
}

fn target(cursor: &mut Cursor<'_>, file: SourceId) -> Result<TargetSyntax, Fault> {
    let text = cursor.text;
    let start = cursor.at;
    let exclude = cursor.eat(b'!');
    let count = cursor.eat(b'&');
    if count && (exclude || cursor.peek() == Some(b'!')) {
        // Of `&!` the second byte is not read yet, and belongs to what is underlined.
        let span = text.span(file, start..cursor.at.max(start + 2));
        return Err(Fault::new(span, "`!` and `&` cannot stand together")
            .with_help("an exclusion removes a variable, a count replaces it by a number"));
    }
    let name = cursor.until(ends_name);
    if name.is_empty() {
        let span = text.span(file, cursor.here());
        return Err(Fault::new(span, "the name of a variable is missing here"));
    }
    let variable = spanned(text, file, name);
    let selector = match cursor.eat(b':') {
        true => Some(selector(cursor, file, &variable)?),
        false => None,
    };
    Ok(TargetSyntax {
        exclude,
        count,
        variable,
        selector,
        span: text.span(file, start..cursor.at),
    })
}

/// What follows the colon. An `XML` selector is an `XPath` expression: its slashes are its own.
fn selector(
    cursor: &mut Cursor<'_>,
    file: SourceId,
    variable: &Spanned<String>,
) -> Result<Spanned<Selector>, Fault> {
    let text = cursor.text;
    let start = cursor.at;
    // `XML://@*` begins with a slash and is no regular expression.
    let xpath = variable.node.eq_ignore_ascii_case("XML");
    let node = match cursor.peek() {
        Some(b'\'') => {
            let value = quoted(cursor, file)?;
            // ModSecurity takes the quotes off first, so slashes within them make a pattern too.
            match pattern_of(value.text()) {
                Some(pattern) if !xpath => Selector::Regex(undo_slashes(pattern)),
                _ => Selector::Name(value.text().to_owned()),
            }
        }
        Some(b'/') if !xpath => Selector::Regex(regex(cursor, file)?),
        _ => {
            let name = cursor.until(ends_value);
            Selector::Name(text.slice(name).to_owned())
        }
    };
    if cursor.at == start {
        let message = format!("a selector is missing after `{}:`", variable.node);
        return Err(Fault::new(text.span(file, start - 1..start), message));
    }
    Ok(Spanned {
        node,
        span: text.span(file, start..cursor.at),
    })
}

/// `/regex/`: up to the first slash that is not escaped and stands before a separator.
fn regex(cursor: &mut Cursor<'_>, file: SourceId) -> Result<String, Fault> {
    let text = cursor.text;
    let start = cursor.at;
    cursor.bump();
    while let Some(byte) = cursor.peek() {
        cursor.bump();
        match byte {
            // The byte after a backslash never ends the expression.
            b'\\' if cursor.peek().is_some() => cursor.bump(),
            b'/' if cursor.peek().is_none_or(ends_value) => {
                return Ok(undo_slashes(text.slice(start + 1..cursor.at - 1)));
            }
            _ => {}
        }
    }
    let span = text.span(file, start..start + 1);
    Err(
        Fault::new(span, "no `/` ends this regular expression").with_help(
            "write `\\/` for a slash inside it, or '...' around a name that begins with one",
        ),
    )
}

fn action(cursor: &mut Cursor<'_>, file: SourceId) -> Result<ActionSyntax, Fault> {
    let text = cursor.text;
    let start = cursor.at;
    let name = cursor.until(ends_name);
    if name.is_empty() {
        let span = text.span(file, cursor.here());
        return Err(Fault::new(span, "the name of an action is missing here"));
    }
    if cursor.text.slice(name.clone()).starts_with('#') {
        let span = text.span(file, name);
        return Err(Fault::new(span, "a comment cannot stand here")
            .with_help("the `\\` before it joins the lines to one; take the comment out"));
    }
    let argument = match cursor.eat(b':') {
        true => argument(cursor, file)?,
        false => None,
    };
    Ok(ActionSyntax {
        name: spanned(text, file, name),
        argument,
        span: text.span(file, start..cursor.at),
    })
}

/// What follows the colon. Nothing gives no argument; `''` gives an empty one.
fn argument(cursor: &mut Cursor<'_>, file: SourceId) -> Result<Option<Spanned<String>>, Fault> {
    let text = cursor.text;
    let colon = cursor.at;
    cursor.skip_blanks();
    let start = cursor.at;
    if cursor.peek() == Some(b'\'') {
        let node = quoted(cursor, file)?.text().to_owned();
        // Nothing would be underlined between the quotes of an empty value, so they are included.
        let inner = match node.is_empty() {
            true => start..cursor.at,
            false => start + 1..cursor.at - 1,
        };
        let span = text.span(file, inner);
        return Ok(Some(Spanned { node, span }));
    }
    let value = cursor.until(ends_value);
    if value.is_empty() {
        // Back, so that the place of the action ends with its colon.
        cursor.at = colon;
        return Ok(None);
    }
    Ok(Some(spanned(text, file, value)))
}

/// `'...'`, where `\'` is a quote and `\\` a backslash; any other backslash is itself.
fn quoted(cursor: &mut Cursor<'_>, file: SourceId) -> Result<Pieced, Fault> {
    let text = cursor.text;
    let opening = cursor.at;
    cursor.bump();
    let mut value = Pieced::empty(text.place(cursor.at));
    let mut from = cursor.at;
    while let Some(byte) = cursor.peek() {
        match byte {
            b'\'' => {
                value.push_range(text, from..cursor.at);
                cursor.bump();
                return match cursor.peek().is_none_or(ends_value) {
                    true => Ok(value),
                    false => Err(Fault::new(
                        text.span(file, cursor.here()),
                        "a separator is missing after the closing quote",
                    )
                    .with_help("a quote inside a quoted value is written `\\'`")),
                };
            }
            b'\\' if matches!(cursor.peek_at(1), Some(b'\'' | b'\\')) => {
                value.push_range(text, from..cursor.at);
                from = cursor.at + 1;
                cursor.bump();
                cursor.bump();
            }
            _ => cursor.bump(),
        }
    }
    let span = text.span(file, opening..opening + 1);
    Err(Fault::new(span, "no `'` closes this quote"))
}

/// Whether another item follows; an empty one between two separators is refused.
fn more(cursor: &mut Cursor<'_>, file: SourceId, what: &str) -> Result<bool, Fault> {
    cursor.skip_blanks();
    match cursor.peek() {
        Some(b',' | b'|') => {
            let span = cursor.text.span(file, cursor.here());
            Err(Fault::new(
                span,
                format!("{what} is missing before this separator"),
            ))
        }
        next => Ok(next.is_some()),
    }
}

/// Skips the separator after an item.
///
/// ModSecurity accepts blanks as a separator after an item with a value, and existing files rely on it.
fn separator(cursor: &mut Cursor<'_>, cx: &mut Context<'_>, valued: bool) -> Result<(), Fault> {
    let blanks = cursor.skip_blanks();
    // ModSecurity reads targets and actions with one parser (`msre_parse_generic`), so both lists know both separators.
    if cursor.peek().is_none() || cursor.eat(b',') || cursor.eat(b'|') {
        return Ok(());
    }
    let next = cursor.text.span(cx.file, cursor.here());
    // Accepted with a warning, because it is more often a value with blanks that lacks its quotes.
    let fault = Fault::new(next, "a separator is missing before this");
    if valued && !blanks.is_empty() {
        let help = "it is taken for the next item; put a value with blanks in single quotes";
        cx.warnings.push(fault.with_help(help).warn());
        return Ok(());
    }
    Err(fault.with_help("items are separated by `,` or `|`, and a `:` follows its name at once"))
}

fn has_selector(target: &TargetSyntax) -> bool {
    target.selector.is_some()
}

/// The text between the slashes, if there are slashes.
fn pattern_of(value: &str) -> Option<&str> {
    let pattern = value.strip_prefix('/')?.strip_suffix('/')?;
    // As in ModSecurity, `//` alone is a name.
    (!pattern.is_empty()).then_some(pattern)
}

/// `\/` is a slash; every other escape belongs to the regular expression.
fn undo_slashes(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('/') => out.push('/'),
            next => {
                out.push('\\');
                out.extend(next);
            }
        }
    }
    out
}

fn ends_name(byte: u8) -> bool {
    byte == b':' || ends_value(byte)
}

fn ends_value(byte: u8) -> bool {
    matches!(byte, b',' | b'|') || is_blank(byte)
}

fn spanned(text: &Pieced, file: SourceId, range: Range<usize>) -> Spanned<String> {
    Spanned {
        node: text.slice(range.clone()).to_owned(),
        span: text.span(file, range),
    }
}

/// From `start` to the end of the argument, or the argument's quotes if nothing is inside.
fn whole(word: &Word, file: SourceId, start: usize) -> Span {
    match word.value.text().len() {
        end if start < end => word.value.span(file, start..end),
        _ => word.span,
    }
}
