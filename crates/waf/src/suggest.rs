//! "Did you mean": which of the names that exist an unknown one most likely stands for.

use seclang::suggest::nearest;

/// Names that people know from elsewhere, and what they are called here. In lower case.
pub(super) type Known = &'static [(&'static str, &'static str)];

/// What `words` calls this name, or else the nearest of the names that exist.
pub(super) fn meant<'w>(
    name: &str,
    words: Known,
    known: impl Iterator<Item = &'w str>,
) -> Option<&'w str> {
    let word = words
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(name));
    // Hardly anybody gets the first letter wrong, and short names are near to many.
    let first = |name: &str| name.bytes().next().map(|byte| byte.to_ascii_lowercase());
    let known = known.filter(|known| first(known) == first(name));
    word.map(|found| found.1).or_else(|| nearest(name, known))
}
