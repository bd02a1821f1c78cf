//! Every operator of the ModSecurity manual, and whether it works here.
//!
//! The compiler, the generated document and the "did you mean" list read this table, so they cannot disagree.

/// Whether an operator works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It works as the manual says.
    Done,
    /// Loads with a warning and never matches, as the CRS has rules that hold it.
    Inert(&'static str),
    /// Refused at load: why, and what to use instead.
    Refused(&'static str),
}

/// One operator of the ModSecurity reference manual.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// As the manual writes it, without the `@`.
    pub name: &'static str,
    /// Whether it is done.
    pub state: State,
    /// Whether macros in its argument are expanded for every evaluation.
    pub takes_macros: bool,
}

const fn done(name: &'static str) -> Entry {
    Entry {
        name,
        state: State::Done,
        takes_macros: false,
    }
}

const fn done_with_macros(name: &'static str) -> Entry {
    Entry {
        name,
        state: State::Done,
        takes_macros: true,
    }
}

const fn inert(name: &'static str, why: &'static str) -> Entry {
    Entry {
        name,
        state: State::Inert(why),
        takes_macros: false,
    }
}

const fn refused(name: &'static str, why: &'static str) -> Entry {
    Entry {
        name,
        state: State::Refused(why),
        takes_macros: false,
    }
}

/// All operators of the manual, by name.
pub const OPERATORS: &[Entry] = &[
    done_with_macros("beginsWith"),
    done_with_macros("contains"),
    done_with_macros("containsWord"),
    done("detectSQLi"),
    done("detectXSS"),
    done_with_macros("endsWith"),
    done_with_macros("eq"),
    refused(
        "fuzzyHash",
        "files are not scanned; scan uploads where they are stored",
    ),
    done_with_macros("ge"),
    inert(
        "geoLookup",
        "there is no geo database, so @geoLookup never matches",
    ),
    refused(
        "gsbLookup",
        "Google's Safe Browsing database is no longer published in that form",
    ),
    done_with_macros("gt"),
    refused(
        "inspectFile",
        "no program is started on a request's way; scan uploads where they are stored",
    ),
    done("ipMatch"),
    done("ipMatchF"),
    done("ipMatchFromFile"),
    done_with_macros("le"),
    done_with_macros("lt"),
    done("noMatch"),
    done("pm"),
    done("pmf"),
    done("pmFromFile"),
    inert(
        "rbl",
        "no DNS lookups are made on a request's way, so @rbl never matches; use @ipMatchFromFile with a list",
    ),
    refused("rsub", "bodies are never rewritten"),
    done_with_macros("rx"),
    done_with_macros("rxGlobal"),
    done_with_macros("streq"),
    done("strmatch"),
    done("unconditionalMatch"),
    done("validateByteRange"),
    refused("validateDTD", "external entities and DTDs are never read"),
    refused(
        "validateHash",
        "links are never rewritten, so there is no hash to validate",
    ),
    refused("validateSchema", "XML schemas are not supported"),
    done("validateUrlEncoding"),
    done("validateUtf8Encoding"),
    done("verifyCC"),
    done("verifyCPF"),
    done("verifySSN"),
    done("verifySVNR"),
    done_with_macros("within"),
];

/// The entry of an operator, whatever the case of its name.
#[must_use]
pub fn entry(name: &str) -> Option<&'static Entry> {
    OPERATORS
        .iter()
        .find(|entry| entry.name.eq_ignore_ascii_case(name))
}
