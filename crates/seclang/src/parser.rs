//! The text of one file to directives, and every problem in it.
//!
//! Lines, quotes and words are those of Apache, which reads the configuration of ModSecurity v2: a `\` at the end of a
//! line joins it to the next (comments too), and within quotes `\"` is a quote and `\\` a backslash. A directive with a
//! problem is left out, and reading goes on after it.

use std::cell::Cell;
use std::ops::Range;
use std::path::Path;

use super::ast::{ActionSyntax, Directive, RuleSyntax, SourceId, Span, Spanned};
use super::lists::{self, Context};
use super::names::{self, Known};
use super::pieced::{Cursor, Pieced, is_blank, span};
use super::word::{Fault, Word};
use crate::diagnostic::{Diagnostic, Location, Severity};

/// Problems of one file that are shown; a file with more is not a rule file.
const MAX_PROBLEMS: usize = 200;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// What a file says.
#[derive(Debug, Default)]
pub struct Parsed {
    /// In file order, without those that have an error. `Include`s are [`Directive::Setting`]s here.
    pub directives: Vec<Directive>,
    /// In file order.
    pub diagnostics: Vec<Diagnostic>,
    /// Characters that were looked at. Tests prove with it that the work is linear.
    pub steps: usize,
}

/// Parses one file. `path` is only for the diagnostics.
#[must_use]
pub fn parse(file: SourceId, path: &Path, text: &str) -> Parsed {
    let mut parser = Parser {
        file,
        path,
        text,
        steps: Cell::new(0),
        out: Parsed::default(),
        untold: None,
    };
    let mut at = match text.starts_with(BYTE_ORDER_MARK) {
        true => BYTE_ORDER_MARK.len_utf8(),
        false => 0,
    };
    while at < text.len() {
        let (line, next, blanks) = logical_line(text, at);
        parser.line(&line, at..next, &blanks);
        at = next;
    }
    parser.finish()
}

struct Parser<'a> {
    file: SourceId,
    path: &'a Path,
    text: &'a str,
    steps: Cell<usize>,
    out: Parsed,
    /// The number of problems beyond [`MAX_PROBLEMS`], and the worst severity among them: an error that is not shown is
    /// still an error.
    untold: Option<(usize, Severity)>,
}

impl Parser<'_> {
    /// Parses a logical line that was made from these bytes of the file.
    fn line(&mut self, line: &Pieced, lines: Range<usize>, blanks: &[Range<usize>]) {
        // To join the lines each of their bytes was looked at once.
        self.steps.set(self.steps.get() + lines.len());
        let mut cursor = Cursor::new(line, &self.steps);
        cursor.skip_blanks();
        let mut faults = match cursor.peek() {
            None => Vec::new(),
            Some(b'#') => swallowed(self.text, self.file, lines),
            Some(b'<') => container(cursor, self.file),
            Some(_) => {
                let mut reader = Reader::new(self.file, &self.steps);
                self.out.directives.extend(reader.directive(cursor));
                reader.faults
            }
        };
        faults.extend(blanks.iter().map(|blanks| {
            let span = span(self.file, blanks.clone());
            Fault::new(
                span,
                "a blank follows the `\\`, so the next line does not belong to this one",
            )
            .with_help("remove what stands after the `\\` at the end of the line")
        }));
        // They were found in the order of checks; a reader wants the order of the file.
        faults.sort_by_key(|fault| fault.span.start);
        for fault in faults {
            self.report(fault);
        }
    }

    fn report(&mut self, fault: Fault) {
        if self.out.diagnostics.len() >= MAX_PROBLEMS {
            let (count, worst) = self.untold.unwrap_or((0, fault.severity));
            self.untold = Some((count + 1, worst.max(fault.severity)));
            return;
        }
        let (start, end) = (fault.span.start as usize, fault.span.end as usize);
        self.out.diagnostics.push(Diagnostic {
            severity: fault.severity,
            location: Location::in_text(self.path, self.text, start, end),
            message: fault.message,
            help: fault.help,
        });
    }

    fn finish(mut self) -> Parsed {
        if let Some((count, severity)) = self.untold {
            let end = self.text.len();
            let location = Location::in_text(self.path, self.text, end, end);
            let message = format!("{count} more problems in this file");
            self.out.diagnostics.push(Diagnostic {
                severity,
                ..Diagnostic::error(location, message)
            });
        }
        self.out.steps = self.steps.get();
        self.out
    }
}

/// Reads one directive; its problems are in `faults`.
struct Reader<'a> {
    file: SourceId,
    steps: &'a Cell<usize>,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    fn new(file: SourceId, steps: &'a Cell<usize>) -> Self {
        Self {
            file,
            steps,
            faults: Vec::new(),
        }
    }

    fn directive(&mut self, mut cursor: Cursor<'_>) -> Option<Directive> {
        let line = cursor.text;
        let name = cursor.until(is_blank);
        let start = name.start;
        let written = line.slice(name.clone());
        // The canonical spelling from here on, so that the rest compares names as they are.
        let known = names::known(written);
        let name = Spanned {
            node: known.map_or(written, |known| known.name).to_owned(),
            span: line.span(self.file, name),
        };
        let words = self.note(words(&mut cursor, self.file))?;
        // The compiler reports an unknown name; how many arguments it takes is unknown.
        if let Some(known) = known {
            self.note(check_count(known, &name, &words))?;
        }
        let span = line.span(self.file, start..line.text().trim_end().len());
        self.assemble(name, words, span)
    }

    fn assemble(
        &mut self,
        name: Spanned<String>,
        words: Vec<Word>,
        span: Span,
    ) -> Option<Directive> {
        match (name.node.as_str(), words.as_slice()) {
            ("SecRule", [targets, operator, actions @ ..]) => {
                self.rule(targets, operator, actions.first(), span)
            }
            ("SecAction", [actions]) => {
                let actions = self.actions(actions)?;
                Some(Directive::Action { actions, span })
            }
            ("SecDefaultAction", [actions]) => {
                let actions = self.actions(actions)?;
                Some(Directive::DefaultAction { actions, span })
            }
            ("SecMarker", [marker]) => Some(Directive::Marker(marker.spanned())),
            ("SecRuleUpdateActionById", [id, actions]) => Some(Directive::UpdateAction {
                id: id.spanned(),
                actions: self.actions(actions)?,
                span,
            }),
            (
                "SecRuleUpdateTargetById" | "SecRuleUpdateTargetByTag" | "SecRuleUpdateTargetByMsg",
                [what, targets, replaced @ ..],
            ) => {
                // Both lists are read before one fails, so that each reports its problem.
                let targets = self.list(targets, lists::targets);
                let replaced = match replaced.first() {
                    Some(replaced) => self.list(replaced, lists::targets),
                    None => Some(Vec::new()),
                };
                Some(Directive::UpdateTarget {
                    what: what.spanned(),
                    targets: targets?,
                    replaced: replaced?,
                    name,
                    span,
                })
            }
            _ => Some(Directive::Setting {
                arguments: words.iter().map(Word::spanned).collect(),
                name,
                span,
            }),
        }
    }

    /// Reads all three parts before it fails, so that each reports its problem.
    fn rule(
        &mut self,
        targets: &Word,
        operator: &Word,
        actions: Option<&Word>,
        span: Span,
    ) -> Option<Directive> {
        let targets = self.list(targets, lists::targets);
        let operator = self.list(operator, lists::operator);
        let actions = match actions {
            Some(actions) => self.actions(actions),
            None => Some(Vec::new()),
        };
        Some(Directive::Rule(RuleSyntax {
            targets: targets?,
            operator: operator?,
            actions: actions?,
            span,
        }))
    }

    fn actions(&mut self, word: &Word) -> Option<Vec<ActionSyntax>> {
        self.list(word, lists::actions)
    }

    fn list<T>(
        &mut self,
        word: &Word,
        parse: fn(&Word, &mut Context<'_>) -> Result<T, Fault>,
    ) -> Option<T> {
        let mut cx = Context {
            file: self.file,
            steps: self.steps,
            warnings: &mut self.faults,
        };
        let parsed = parse(word, &mut cx);
        self.note(parsed)
    }

    fn note<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.faults.push(fault)).ok()
    }
}

/// Joins the lines from `at` on that continue each other. Also gives the start of the next line, and the blanks between
/// a `\` and the end of its line. These are reported but read as if they were not there, because that is what the
/// author means.
fn logical_line(text: &str, mut at: usize) -> (Pieced, usize, Vec<Range<usize>>) {
    let mut line = Pieced::empty(at);
    let mut blanks = Vec::new();
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let (physical, next) = match rest.find('\n') {
            Some(end) => (&rest[..end], at + end + 1),
            None => (rest, text.len()),
        };
        // Files with Windows line ends are common; the `\` before the CR still joins lines.
        let physical = physical.strip_suffix('\r').unwrap_or(physical);
        let bare = physical.trim_end_matches([' ', '\t']);
        // Two backslashes are one escaped backslash, not a continuation with blanks.
        let is_escaped = bare.ends_with("\\\\");
        let is_meant = bare.len() < physical.len()
            && bare.ends_with('\\')
            && !is_escaped
            && !is_comment(&line, bare);
        let joined = if is_meant { bare } else { physical };
        let Some(continued) = joined.strip_suffix('\\') else {
            line.push(physical, at);
            line.end_at(at + physical.len());
            return (line, next, blanks);
        };
        if is_meant {
            blanks.push(at + bare.len()..at + physical.len());
        }
        line.push(continued, at);
        line.end_at(at + continued.len());
        at = next;
    }
    (line, at, blanks)
}

/// Whether the line, or its first part, is a comment.
fn is_comment(line: &Pieced, first: &str) -> bool {
    let text = match line.text() {
        "" => first,
        text => text,
    };
    text.trim_start().starts_with('#')
}

/// The arguments up to the end of the line.
fn words(cursor: &mut Cursor<'_>, file: SourceId) -> Result<Vec<Word>, Fault> {
    let mut words = Vec::new();
    loop {
        cursor.skip_blanks();
        match cursor.peek() {
            None => return Ok(words),
            Some(quote @ (b'"' | b'\'')) => words.push(quoted_word(cursor, file, quote)?),
            Some(_) => words.push(bare_word(cursor, file)),
        }
    }
}

fn bare_word(cursor: &mut Cursor<'_>, file: SourceId) -> Word {
    let text = cursor.text;
    let start = cursor.at;
    let mut value = Pieced::empty(text.place(start));
    let mut from = start;
    while cursor.peek().is_some_and(|byte| !is_blank(byte)) {
        // Apache undoes `\\` outside of quotes as well.
        if cursor.peek() == Some(b'\\') && cursor.peek_at(1) == Some(b'\\') {
            value.push_range(text, from..cursor.at);
            cursor.bump();
            from = cursor.at;
        }
        cursor.bump();
    }
    value.push_range(text, from..cursor.at);
    let span = text.span(file, start..cursor.at);
    Word { value, span }
}

fn quoted_word(cursor: &mut Cursor<'_>, file: SourceId, quote: u8) -> Result<Word, Fault> {
    let text = cursor.text;
    let start = cursor.at;
    cursor.bump();
    let mut value = Pieced::empty(text.place(cursor.at));
    let mut from = cursor.at;
    while let Some(byte) = cursor.peek() {
        // Every other backslash belongs to the argument, often to a regular expression.
        let escaped = cursor.peek_at(1).filter(|&b| b == quote || b == b'\\');
        if byte == b'\\' && escaped.is_some() {
            value.push_range(text, from..cursor.at);
            cursor.bump();
            from = cursor.at;
        } else if byte == quote {
            value.push_range(text, from..cursor.at);
            cursor.bump();
            check_after_quote(cursor, file, quote)?;
            // Between the quotes of an empty value there is nothing to underline.
            let inner = match value.text().is_empty() {
                true => start..cursor.at,
                false => start + 1..cursor.at - 1,
            };
            let span = text.span(file, inner);
            return Ok(Word { value, span });
        }
        cursor.bump();
    }
    let span = text.span(file, start..start + 1);
    let quote = char::from(quote);
    let fault = Fault::new(span, format!("no `{quote}` closes this quote"));
    Err(fault.with_help(format!(
        "a quote inside is written `\\{quote}`; a line that goes on ends with `\\`"
    )))
}

/// Apache accepts anything after a closing quote. It is most likely an inner quote that was not escaped, and would
/// silently cut the rule.
fn check_after_quote(cursor: &Cursor<'_>, file: SourceId, quote: u8) -> Result<(), Fault> {
    let apart = |byte| is_blank(byte) || matches!(byte, b'"' | b'\'');
    // The end of a joined line separates the words as well.
    let joined = cursor.text.place(cursor.at) != cursor.text.place(cursor.at - 1) + 1;
    if cursor.peek().is_none_or(apart) || joined {
        return Ok(());
    }
    let quote = char::from(quote);
    let span = cursor.text.span(file, cursor.here());
    Err(
        Fault::new(span, "a blank is missing after the closing quote")
            .with_help(format!("a quote inside an argument is written `\\{quote}`")),
    )
}

fn check_count(known: &Known, name: &Spanned<String>, words: &[Word]) -> Result<(), Fault> {
    let (min, max) = (*known.arguments.start(), *known.arguments.end());
    if known.arguments.contains(&words.len()) {
        return Ok(());
    }
    let takes = match (min, max) {
        (0, 0) => "no argument".to_owned(),
        (1, 1) => "1 argument".to_owned(),
        (_, usize::MAX) => format!("at least {min} argument"),
        (min, max) if min == max => format!("{min} arguments"),
        (min, max) => format!("{min} to {max} arguments"),
    };
    let message = format!("{} takes {takes}, here are {}", known.name, words.len());
    Err(match words.get(max) {
        Some(extra) => Fault::new(extra.span, message)
            .with_help("an argument with blanks stands in quotes; a quote inside it is `\\\"`"),
        None => Fault::new(name.span, message),
    })
}

/// A `\` at the end of a comment joins the next line to it. Warns if that line is a directive, which is then not in
/// force.
fn swallowed(text: &str, file: SourceId, lines: Range<usize>) -> Vec<Fault> {
    let mut at = lines.start;
    let mut faults = Vec::new();
    for line in text.get(lines).unwrap_or_default().split_inclusive('\n') {
        let bare = line.trim_start();
        let start = at + (line.len() - bare.len());
        let name = bare.split(char::is_whitespace).next().unwrap_or_default();
        at += line.len();
        if names::known(name).is_some() {
            let span = span(file, start..start + name.len());
            faults.push(
                Fault::new(
                    span,
                    format!("this {name} belongs to the comment before it"),
                )
                .with_help("the `\\` at the end of the comment joins the lines; remove it")
                .warn(),
            );
        }
    }
    faults
}

/// `<IfModule ...>` and other containers. The lines within are still read, so that their problems are reported too.
fn container(mut cursor: Cursor<'_>, file: SourceId) -> Vec<Fault> {
    let text = cursor.text;
    let start = cursor.at;
    let tag = cursor.until(|byte| is_blank(byte) || byte == b'>');
    let tag = text.slice(tag);
    // The opening tag was reported, and one message is enough.
    if tag.starts_with("</") {
        return Vec::new();
    }
    let span = text.span(file, start..text.text().trim_end().len());
    vec![
        Fault::new(
            span,
            format!("Apache's container `{tag}>` is not supported: rules belong to a policy here, not to a part of a server"),
        )
        .with_help("take the lines out of it; what differs by host or path goes into the policy of a route"),
    ]
}

#[cfg(test)]
mod tests;
