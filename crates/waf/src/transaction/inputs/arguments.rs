//! Arguments: those of the query first, then those of the body.

use super::item::Item;
use crate::body::{BodyError, json, urlencoded};
use crate::variables::Text;

/// All arguments of a request. `SecArgumentsLimit` bounds how many there are.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    items: Vec<Item>,
    /// How many of them are the query's.
    in_query: usize,
    too_many: bool,
    invalid_encoding: bool,
}

impl Arguments {
    /// Keeps them in a buffer, which is empty.
    pub(crate) fn in_buffer(items: Vec<Item>) -> Self {
        Self {
            items,
            ..Self::default()
        }
    }

    pub(crate) fn take_buffer(&mut self) -> Vec<Item> {
        std::mem::take(&mut self.items)
    }

    pub(crate) fn all(&self) -> &[Item] {
        &self.items
    }

    pub(crate) fn of_query(&self) -> &[Item] {
        self.items.get(..self.in_query).unwrap_or_default()
    }

    pub(crate) fn of_body(&self) -> &[Item] {
        self.items.get(self.in_query..).unwrap_or_default()
    }

    /// Bytes of all names and values.
    pub(crate) fn combined_size(&self) -> usize {
        self.items
            .iter()
            .map(|item| item.key.len() + item.value.len())
            .sum()
    }

    /// Whether some were left out for `SecArgumentsLimit`.
    pub(crate) fn too_many(&self) -> bool {
        self.too_many
    }

    /// Whether a percent sign was followed by something else than two hexadecimal digits.
    pub(crate) fn invalid_encoding(&self) -> bool {
        self.invalid_encoding
    }

    /// Adds the arguments of a query or a form; `most` is the most arguments that there may be in all.
    pub(crate) fn add_urlencoded(
        &mut self,
        text: &mut Text,
        input: &[u8],
        separator: u8,
        most: usize,
    ) {
        let room = most.saturating_sub(self.items.len());
        let items = &mut self.items;
        let outcome = urlencoded::parse(input, separator, room, &mut |name, value| {
            let key = text.push(name);
            let value = text.push(value);
            items.push(Item { key, value });
        });
        self.invalid_encoding |= outcome.invalid_encoding;
        self.too_many |= outcome.truncated;
    }

    /// Adds the arguments of a JSON document; `most` is the most arguments that there may be in all.
    ///
    /// # Errors
    /// The document cannot be read to its end; what stands before that is added.
    pub(crate) fn add_json(
        &mut self,
        text: &mut Text,
        document: &[u8],
        depth: usize,
        most: usize,
    ) -> Result<(), BodyError> {
        let room = most.saturating_sub(self.items.len());
        let items = &mut self.items;
        json::parse(document, depth, room, &mut |name, value| {
            let key = text.push(name);
            let value = text.push(value);
            items.push(Item { key, value });
        })?;
        Ok(())
    }

    /// Arguments that are added from now on belong to the body.
    pub(crate) fn end_query(&mut self) {
        self.in_query = self.items.len();
    }

    /// Whether there is room for one more. If not, `too_many` stays set, so that the left-out argument is reported.
    pub(crate) fn has_room(&mut self, most: usize) -> bool {
        let has_room = self.items.len() < most;
        self.too_many |= !has_room;
        has_room
    }

    pub(crate) fn push(&mut self, item: Item) {
        self.items.push(item);
    }
}
