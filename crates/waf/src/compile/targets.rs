//! Targets of a rule: looks up names, compiles selectors, shares equal lists.
//!
//! Rules with equal lists share one [`TargetList`], whose values are then found once in a phase for all of them.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::body::xml::path::{Path, PathError};
use crate::operators::rx::Pattern;
use crate::operators::{CompileError, PatternOptions};
use crate::variables::{
    NamePattern, OnlySlot, REFUSED, Select, Shape, Target, TargetList, Variable,
};
use seclang::{Selector, TargetSyntax};

use super::{Report, Shared, suggest};

impl Shared {
    pub(super) fn target_list(
        &mut self,
        targets: &[TargetSyntax],
        namespaces: &[(String, String)],
        report: &mut Report<'_>,
    ) -> Option<Arc<TargetList>> {
        let key = canonical(targets, namespaces);
        if let Some(list) = self.lists.get(&key) {
            return Some(Arc::clone(list));
        }
        let mut compiled = Vec::with_capacity(targets.len());
        for target in targets {
            compiled.push(self.target(target, namespaces, report)?);
        }
        let list = Arc::new(TargetList {
            id: u32::try_from(self.lists.len()).unwrap_or(u32::MAX),
            stable: compiled.iter().all(|t| !t.variable.is_volatile()),
            only_slot: OnlySlot::of(&compiled),
            targets: compiled.into(),
        });
        self.lists.insert(key, Arc::clone(&list));
        Some(list)
    }

    fn xml_path(
        &mut self,
        path: &str,
        namespaces: &[(String, String)],
        syntax: &TargetSyntax,
        report: &mut Report<'_>,
    ) -> Option<Select> {
        let help = "what is done of XPath: /a/b, //b, /a/*, p:b with xmlns:p=..., and at the end text(), @b or @*";
        let found = match Path::parse(path, namespaces) {
            // An excluded path would need the path of each value, which values do not keep.
            Ok(_) if syntax.exclude => Err(PathError::Excluded),
            found => found,
        };
        match found {
            Ok(found) => {
                // Equal paths share one place, because the parser follows every path through every document.
                let known = self.xml_paths.iter().position(|known| **known == found);
                let index = known.unwrap_or_else(|| {
                    self.xml_paths.push(Arc::new(found));
                    self.xml_paths.len() - 1
                });
                Some(Select::Path(u32::try_from(index).unwrap_or(u32::MAX)))
            }
            Err(problem) => {
                report.error_with_help(syntax.span, format!("XML:{path}: {problem}"), help);
                None
            }
        }
    }

    pub(crate) fn list_count(&self) -> usize {
        self.lists.len()
    }

    /// `HTTP_User-Agent`, the older way to write `REQUEST_HEADERS:User-Agent`; `_` also stands for `-`.
    fn header(name: &str, syntax: &TargetSyntax) -> Target {
        Target {
            variable: Variable::RequestHeaders,
            select: Select::Key(name.replace('_', "-").into_bytes().into()),
            exclude: syntax.exclude,
            count: syntax.count,
        }
    }

    pub(super) fn target(
        &mut self,
        syntax: &TargetSyntax,
        namespaces: &[(String, String)],
        report: &mut Report<'_>,
    ) -> Option<Target> {
        let name = &syntax.variable;
        if let Some(header) = name.node.strip_prefix("HTTP_").filter(|h| !h.is_empty()) {
            return Some(Self::header(header, syntax));
        }
        let Some(variable) = Variable::from_name(&name.node) else {
            let refused = REFUSED
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(&name.node));
            match refused {
                Some((_, why)) => report.error(
                    name.span,
                    format!("variable {} is not available: {why}", name.node),
                ),
                None => {
                    let message = format!("unknown variable `{}`", name.node);
                    report.unknown(name.span, message, suggest::variable(&name.node));
                }
            }
            return None;
        };
        let select = match &syntax.selector {
            None => Select::All,
            Some(s) if variable == Variable::Xml => {
                let path = match &s.node {
                    Selector::Name(n) => n.clone(),
                    Selector::Regex(r) => format!("/{r}/"),
                };
                match path.as_str() {
                    "/*" | "//@*" => Select::Key(path.into_bytes().into()),
                    _ => self.xml_path(&path, namespaces, syntax, report)?,
                }
            }
            Some(s) if variable.shape() == Shape::Scalar => {
                report.error(
                    s.span,
                    format!("{} is one value and takes no selector", variable.name()),
                );
                return None;
            }
            Some(s) => match &s.node {
                // An exclusion compares names with those of values, which are text.
                Selector::Name(n) if variable == Variable::Tx && !syntax.exclude => {
                    Select::Slot(self.names.intern(n))
                }
                Selector::Name(n) => Select::Key(n.as_bytes().into()),
                Selector::Regex(r) => match compile_selector(r) {
                    Ok(regex) => Select::Regex(Arc::new(NamePattern::new(regex, r))),
                    Err(error) => {
                        report.error(s.span, error.message);
                        return None;
                    }
                },
            },
        };
        // As in ModSecurity v2 (`re.c`), an exclusion without a selector covers the whole collection.
        if variable == Variable::Xml && syntax.selector.is_none() && !syntax.exclude {
            report.error(syntax.span, "XML needs a selector: XML:/* or XML://@*");
            return None;
        }
        Some(Target {
            variable,
            select,
            exclude: syntax.exclude,
            count: syntax.count,
        })
    }
}

/// As in ModSecurity v2 (`re_variables.c`), names are compared without regard to case.
pub(super) fn compile_selector(pattern: &str) -> Result<Pattern, CompileError> {
    let options = PatternOptions {
        ignore_case: true,
        ..PatternOptions::default()
    };
    Pattern::compile(pattern.as_bytes(), options)
}

/// The same text for lists that select the same values.
fn canonical(targets: &[TargetSyntax], namespaces: &[(String, String)]) -> String {
    let mut key = String::new();
    let is_xml = |t: &&TargetSyntax| t.variable.node.eq_ignore_ascii_case("XML");
    for t in targets.iter().filter(is_xml) {
        // Names in XML are case-sensitive, and their prefixes mean what the rule's `xmlns` says.
        let _ = write!(
            key,
            "{:?}{namespaces:?}",
            t.selector.as_ref().map(|s| &s.node)
        );
    }
    for t in targets {
        let mark = match (t.exclude, t.count) {
            (true, _) => "!",
            (false, true) => "&",
            (false, false) => "",
        };
        // Writing to a string cannot fail.
        let _ = write!(key, "{mark}{}", t.variable.node.to_ascii_uppercase());
        match t.selector.as_ref().map(|s| &s.node) {
            None => {}
            Some(Selector::Name(n)) => {
                // With its length, so that a name with a bar cannot look like two targets.
                let _ = write!(key, ":{}:{}", n.len(), n.to_ascii_lowercase());
            }
            Some(Selector::Regex(r)) => {
                // As written: in a pattern the case of a letter may matter (`\s` and `\S`).
                let _ = write!(key, ":/{}/{r}", r.len());
            }
        }
        key.push('|');
    }
    key
}
