//! Rules that look for values in a list: see [`Listing`].

use super::Transaction;
use super::state::{Entry, Name};
use super::watch::Watch;
use crate::prefilter::LinkPlace;
use crate::rule::Test;
use crate::rule::listing::Listing;
use crate::ruleset::RuleSet;
use crate::steps;
use crate::variables::Value;

/// Requests with more values, or longer ones, are rare: their rules run as all others do.
const MOST: u32 = 64;
const LONGEST: usize = 256;

impl Transaction {
    /// Whether none of the rule's values is in the list, so that it does not match. `test` is that of its first link, which
    /// has then done its work; its variables are set as soon as something reads them.
    pub(super) fn is_unlisted(
        &mut self,
        rules: &RuleSet,
        index: u32,
        listing: &Listing,
        test: &Test,
    ) -> bool {
        let state = self.context.state();
        // A trace, and a watch that sees all rules, show what each link does.
        let is_watched = self.watch.as_deref().is_some_and(Watch::sees_all);
        if is_watched
            || self.matches.trace().is_on()
            || steps::is_over()
            || state.exclusions().of_rule(index).next().is_some()
            || !state.tx().may_defer(self.context.text(), listing)
        {
            return false;
        }
        let mark = state.tx().deferred_values();
        let unlisted = self.look_up_all(rules, index, listing, test);
        if !unlisted {
            self.context.state_mut().tx_mut().drop_values(mark);
            return false;
        }
        let (from, _) = self
            .matcher
            .listed_values(rules, &mut self.context, &test.targets);
        let values = self.context.state_mut().tx_mut().defer(mark, listing);
        for (at, place) in (from..).zip(values) {
            let Some((value, text)) = self
                .matcher
                .listed(at)
                .zip(self.context.state().tx().deferred_value_at(place))
            else {
                break;
            };
            // What the run of the link would have left: later rules may read it.
            self.context.note_match(Value { text, ..value }, value.text);
            self.context.keep_whole_capture(text);
            self.matcher.count_evaluation();
        }
        true
    }

    /// Looks for each value in the list and notes it. False if one is there, or if it is not certain.
    fn look_up_all(&mut self, rules: &RuleSet, index: u32, listing: &Listing, test: &Test) -> bool {
        let list = match self.context.state().tx().entry(Name::Slot(listing.list)) {
            Entry::Text(list) => list,
            Entry::Number(_) | Entry::Unset => return false,
        };
        let place = LinkPlace {
            rule: index,
            link: 0,
        };
        let bit = rules.bit(place).filter(|_| self.matcher.proposes());
        let (from, end) = self
            .matcher
            .listed_values(rules, &mut self.context, &test.targets);
        if from == end || end - from > MOST {
            return false;
        }
        for at in from..end {
            let Some(value) = self.matcher.listed(at) else {
                return false;
            };
            if value.text.len() > LONGEST || bit.is_some_and(|b| !self.matcher.allows(b, &value)) {
                return false;
            }
            let text = self.context.text_mut();
            let Some(text) = self.matcher.unlisted(text, listing, list, value.text) else {
                return false;
            };
            self.context.state_mut().tx_mut().add_value(text);
        }
        true
    }
}
