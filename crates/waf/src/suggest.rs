//! "Did you mean": the existing name that an unknown one most likely stands for.

use seclang::suggest::nearest;

/// Names that people know from elsewhere and their names here. In lower case.
pub(super) type Known = &'static [(&'static str, &'static str)];

/// The name that `words` gives, or otherwise the nearest of the existing names.
pub(super) fn meant<'w>(
    name: &str,
    words: Known,
    known: impl Iterator<Item = &'w str>,
) -> Option<&'w str> {
    let word = words
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(name));
    // A typing mistake is rarely in the first letter, and short names are near to many others.
    let first = |name: &str| name.bytes().next().map(|byte| byte.to_ascii_lowercase());
    let known = known.filter(|known| first(known) == first(name));
    word.map(|found| found.1).or_else(|| nearest(name, known))
}
