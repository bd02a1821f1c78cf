//! "Did you mean": the known word that is nearest to an unknown one.

#![allow(
    clippy::indexing_slicing,
    reason = "both rows are one longer than the word"
)]

/// A sentence with the nearest word, if one is near enough to be meant.
pub fn did_you_mean<'w>(written: &str, known: impl IntoIterator<Item = &'w str>) -> Option<String> {
    nearest(written, known).map(|word| format!("did you mean \"{word}\"?"))
}

/// The nearest word, if one is near enough to be meant.
pub fn nearest<'w>(written: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    // A third of the letters may be wrong: beyond that, suggestions mislead.
    let limit = written.chars().count() / 3 + 1;
    let (distance, word) = known
        .into_iter()
        .map(|word| (distance(written, word), word))
        .min()?;
    (distance <= limit.min(4)).then_some(word)
}

/// The number of characters that must be added, dropped, changed or swapped with their neighbour, ignoring case.
fn distance(a: &str, b: &str) -> usize {
    // The work is quadratic, and words come from a file. A longer word is near to no name anyway.
    const LONGEST: usize = 80;
    let fold = |text: &str| -> Vec<char> {
        let chars = text.chars().take(LONGEST);
        chars.map(|c| c.to_ascii_lowercase()).collect()
    };
    let (a, b) = (fold(a), fold(b));
    // The row before the previous one, for two letters that changed places.
    let mut before = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let change = previous[j] + usize::from(a[i] != b[j]);
            let mut best = change.min(previous[j + 1] + 1).min(row[j] + 1);
            // Two swapped letters are one mistake.
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                let twice_before: &Vec<usize> = &before;
                best = best.min(twice_before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let known = ["upstream", "policy", "paths", "hosts"];
        for (written, expected) in [
            ("upstraem", Some("did you mean \"upstream\"?")),
            ("Policy", Some("did you mean \"policy\"?")),
            ("path", Some("did you mean \"paths\"?")),
            ("sthos", None),
            ("", None),
            ("certificates", None),
        ] {
            assert_eq!(
                did_you_mean(written, known).as_deref(),
                expected,
                "{written}"
            );
        }
        assert_eq!(did_you_mean("x", []), None);
    }

    #[test]
    fn a_swap_counts_once() {
        for (a, b, expected) in [
            ("", "", 0),
            ("ab", "ba", 1),
            ("abc", "abd", 1),
            ("abc", "", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
