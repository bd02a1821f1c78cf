//! `%{...}` in messages, values and arguments, compiled once.
//!
//! Source: ModSecurity v2 Reference Manual, "Macro Expansion". A macro that cannot be resolved is empty.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use super::variables::{Slice, Text, Variable};

/// Text with macros in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Template {
    /// No macro: bytes among the rule set's literals.
    Literal(Slice),
    Parts(Box<[Part]>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(Slice),
    Macro(Macro),
}

/// One `%{VARIABLE}` or `%{COLLECTION.key}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Macro {
    /// `%{tx.name}`
    Tx(u32),
    Scalar(Variable),
    Keyed(Variable, Box<[u8]>),
}

/// What a template is compiled against: literals and names of `TX` variables of one rule set.
pub(crate) struct Scope<'a> {
    pub literals: &'a mut Text,
    pub slot: &'a mut dyn FnMut(&str) -> u32,
}

impl Template {
    /// # Errors
    /// The byte range and name of a macro that is no variable.
    pub(crate) fn compile(
        text: &str,
        scope: &mut Scope<'_>,
    ) -> Result<Self, (std::ops::Range<usize>, String)> {
        let mut parts = Vec::new();
        let mut rest = 0;
        while let Some(open) = text[rest..].find("%{").map(|i| i + rest) {
            // As in ModSecurity, an unclosed `%{` is plain text.
            let Some(close) = text[open..].find('}').map(|i| i + open) else {
                break;
            };
            let name = &text[open + 2..close];
            let Some(compiled) = compile_macro(name, scope) else {
                // ModSecurity would leave it empty in every request; here the author learns of the mistake.
                return Err((open..close + 1, name.to_owned()));
            };
            if open > rest {
                parts.push(Part::Literal(
                    scope.literals.push(&text.as_bytes()[rest..open]),
                ));
            }
            parts.push(Part::Macro(compiled));
            rest = close + 1;
        }
        if parts.is_empty() {
            return Ok(Self::Literal(scope.literals.push(text.as_bytes())));
        }
        if rest < text.len() {
            parts.push(Part::Literal(scope.literals.push(&text.as_bytes()[rest..])));
        }
        Ok(Self::Parts(parts.into()))
    }

    pub(crate) fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }

    /// The claims of the caller that it names; an empty name is all of them.
    pub(crate) fn claims(&self) -> impl Iterator<Item = &[u8]> {
        let parts = match self {
            Self::Literal(_) => &[][..],
            Self::Parts(parts) => parts,
        };
        parts.iter().filter_map(|part| match part {
            Part::Macro(Macro::Keyed(Variable::Identity, key)) => Some(&**key),
            Part::Macro(Macro::Scalar(Variable::Identity)) => Some(&b""[..]),
            _ => None,
        })
    }
}

fn compile_macro(name: &str, scope: &mut Scope<'_>) -> Option<Macro> {
    let (variable, key) = match name.find(['.', ':']) {
        Some(at) => (&name[..at], Some(&name[at + 1..])),
        None => (name, None),
    };
    let variable = Variable::from_name(variable.trim())?;
    Some(match (variable, key) {
        (Variable::Tx, Some(key)) => Macro::Tx((scope.slot)(key)),
        (_, Some(key)) => Macro::Keyed(variable, key.as_bytes().into()),
        (_, None) => Macro::Scalar(variable),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiles_literals_macros_and_mixtures() {
        let mut literals = Text::default();
        let mut names = Vec::new();
        let mut slot = |n: &str| {
            names.push(n.to_owned());
            7
        };
        let mut scope = Scope {
            literals: &mut literals,
            slot: &mut slot,
        };
        assert!(
            Template::compile("plain %{ text", &mut scope)
                .unwrap()
                .is_literal()
        );
        let Template::Parts(parts) =
            Template::compile("a%{tx.Foo}b%{REQUEST_HEADERS.Host}%{unique_id}", &mut scope)
                .unwrap()
        else {
            panic!("has macros")
        };
        assert_eq!(parts[1], Part::Macro(Macro::Tx(7)));
        assert_eq!(
            parts[3],
            Part::Macro(Macro::Keyed(Variable::RequestHeaders, (*b"Host").into()))
        );
        assert_eq!(parts[4], Part::Macro(Macro::Scalar(Variable::UniqueId)));
        assert_eq!(
            Template::compile("x %{nonsense.y}", &mut scope),
            Err((2..15, "nonsense.y".to_owned()))
        );
        assert_eq!(names, ["Foo"]);
    }
}
