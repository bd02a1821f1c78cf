//! A small part of XPath 1.0: absolute location paths of names, `*` and `//` that end at an element, its `text()` or an
//! attribute.
//!
//! There are no predicates, functions or other axes. So one pass over the document is enough, with a bounded number of
//! steps for each element.

use std::fmt;

/// Steps of a path. [`State`] has a bit for each and one more.
const MOST_STEPS: usize = 32;

/// Why a path of a rule cannot be used. The rule erred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathError {
    /// It does not begin with a slash.
    NotAbsolute,
    /// The rule has no `xmlns` action for this prefix.
    UndeclaredPrefix(String),
    /// This step is not a name, `*` or `text()`: it may be a predicate, a function or an axis.
    UnsupportedStep(String),
    /// Steps follow this one, which selects a text or an attribute.
    StepAfterEnd(String),
    /// It has more steps than [`MOST_STEPS`].
    TooManySteps,
    /// The target is excluded, which only `XML:/*` and `XML://@*` can be.
    Excluded,
}

/// A location path, with its prefixes resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    written: String,
    steps: Vec<Step>,
    end: End,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    /// `//`: at any depth below.
    deep: bool,
    test: NameTest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum NameTest {
    Any,
    /// `p:*`
    Namespace(String),
    Name {
        namespace: String,
        local: String,
    },
    /// `id()`, as ModSecurity's manual writes it: an element of this name in any namespace.
    Local(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Element,
    Text { deep: bool },
    Attribute { deep: bool, test: NameTest },
}

/// Which beginnings of the path lead to an element: bit `n` says that its first `n` steps do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State(u64);

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAbsolute => f.write_str("a path begins with / or //"),
            Self::UndeclaredPrefix(prefix) => write!(
                f,
                "the prefix {prefix} has no xmlns:{prefix}=... among the rule's actions"
            ),
            Self::UnsupportedStep(step) => {
                write!(f, "{step:?} is no name, no `*` and no `text()`")
            }
            Self::StepAfterEnd(step) => write!(f, "nothing can follow {step}"),
            Self::TooManySteps => write!(f, "more than {MOST_STEPS} steps"),
            Self::Excluded => f.write_str("only XML:/* and XML://@* can be excluded"),
        }
    }
}

impl std::error::Error for PathError {}

impl NameTest {
    fn parse(text: &str, namespaces: &[(String, String)]) -> Result<Self, PathError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (prefix, local) = match text.split_once(':') {
            Some((prefix, local)) => (Some(prefix), local),
            None => (None, text),
        };
        let namespace = match prefix {
            // No namespace, whatever default the document declares (XPath 1.0, 2.3).
            None => String::new(),
            Some(prefix) => {
                let known = namespaces.iter().find(|(name, _)| name == prefix);
                let (_, uri) =
                    known.ok_or_else(|| PathError::UndeclaredPrefix(prefix.to_owned()))?;
                uri.clone()
            }
        };
        if prefix.is_some() && local == "*" {
            return Ok(Self::Namespace(namespace));
        }
        if let Some(local) = local.strip_suffix("()").filter(|local| *local == "id") {
            return Ok(Self::Local(local.to_owned()));
        }
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if local.is_empty() || !local.chars().all(is_name) {
            return Err(PathError::UnsupportedStep(text.to_owned()));
        }
        let local = local.to_owned();
        Ok(Self::Name { namespace, local })
    }

    fn fits(&self, namespace: &str, local: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Namespace(wanted) => wanted == namespace,
            Self::Name {
                namespace: wanted,
                local: name,
            } => wanted == namespace && name == local,
            Self::Local(name) => name == local,
        }
    }
}

impl Path {
    /// # Errors
    /// The part that is not supported, in words.
    pub(crate) fn parse(text: &str, namespaces: &[(String, String)]) -> Result<Self, PathError> {
        let written = text.to_owned();
        let mut rest = text;
        let mut steps = Vec::new();
        loop {
            let below = rest.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
            let (deep, below) = match below.strip_prefix('/') {
                Some(below) => (true, below),
                None => (false, below),
            };
            let (step, after) = below.split_at(below.find('/').unwrap_or(below.len()));
            rest = after;
            let end = match step.strip_prefix('@') {
                Some(name) => Some(End::Attribute {
                    deep,
                    test: NameTest::parse(name, namespaces)?,
                }),
                None if step == "text()" => Some(End::Text { deep }),
                None => None,
            };
            if let Some(end) = end {
                if !rest.is_empty() {
                    return Err(PathError::StepAfterEnd(step.to_owned()));
                }
                return Ok(Self {
                    written,
                    steps,
                    end,
                });
            }
            let test = NameTest::parse(step, namespaces)?;
            steps.push(Step { deep, test });
            if steps.len() > MOST_STEPS {
                return Err(PathError::TooManySteps);
            }
            if rest.is_empty() {
                let end = End::Element;
                return Ok(Self {
                    written,
                    steps,
                    end,
                });
            }
        }
    }

    /// As the rule has it.
    pub(crate) fn written(&self) -> &str {
        &self.written
    }

    /// Above the root element.
    pub(super) fn start() -> State {
        // The empty beginning of the path leads to it.
        State(1)
    }

    /// Of an element whose parent is in this state.
    pub(super) fn enter(&self, parent: State, namespace: &str, local: &str) -> State {
        let mut entered = 0;
        for (index, step) in self.steps.iter().enumerate() {
            if parent.0 >> index & 1 == 0 {
                continue;
            }
            // A `//` step stays open for all elements below.
            entered |= u64::from(step.deep) << index;
            entered |= u64::from(step.test.fits(namespace, local)) << (index + 1);
        }
        let deep = match self.end {
            End::Element => false,
            End::Text { deep } | End::Attribute { deep, .. } => deep,
        };
        // A path that ends with `//text()` or `//@name` also holds for everything below.
        if deep {
            entered |= parent.0 & self.whole();
        }
        State(entered)
    }

    fn whole(&self) -> u64 {
        1 << self.steps.len()
    }

    fn is_at(&self, state: State) -> bool {
        state.0 & self.whole() != 0
    }

    /// Whether the element is selected, with all text in it.
    pub(super) fn takes_element(&self, state: State) -> bool {
        self.end == End::Element && self.is_at(state)
    }

    /// Whether the text right in the element is.
    pub(super) fn takes_text(&self, state: State) -> bool {
        matches!(self.end, End::Text { .. }) && self.is_at(state)
    }

    pub(super) fn takes_attribute(&self, state: State, namespace: &str, local: &str) -> bool {
        match &self.end {
            End::Attribute { test, .. } => self.is_at(state) && test.fits(namespace, local),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_not_done() {
        let namespaces = [("p".to_owned(), "urn:p".to_owned())];
        for (text, problem) in [
            ("/a", None),
            ("//a/*/p:b/text()", None),
            ("/p:*//@id", None),
            ("/a/id()", None),
            ("a", Some("begins with")),
            ("/", Some("is no name")),
            ("/a/", Some("is no name")),
            ("/a[1]", Some("is no name")),
            ("/a/count()", Some("is no name")),
            ("/a/text()/b", Some("can follow")),
            ("/a/@b/c", Some("can follow")),
            ("/q:a", Some("xmlns:q")),
            ("/a/..", None),
        ] {
            let found = Path::parse(text, &namespaces).err();
            match problem {
                // Names may hold dots; no element has this one.
                None => assert_eq!(found, None, "{text}"),
                Some(problem) => assert!(found.unwrap().to_string().contains(problem), "{text}"),
            }
        }
        let long = "/a".repeat(MOST_STEPS + 1);
        assert!(Path::parse(&long, &namespaces).is_err());
    }
}
