//! Buffers that one transaction leaves to the next of its thread, so that an ordinary one allocates little.

use std::cell::RefCell;
use std::collections::HashMap;

use super::masking::Unmarked;
use super::memo::Memo;
use super::propose::Proposals;
use super::request::Item;
use super::tx::TxStore;
use super::{Captures, Row, Slice, Transaction, Value, Variable};

/// As many as a thread has transactions open at once, most of the time.
const MOST: usize = 16;
/// What grew past this is given back: one large body must not be paid for ever after.
const LARGEST: usize = 128 * 1024;

thread_local! {
    static FREE: RefCell<Vec<Buffers>> = const { RefCell::new(Vec::new()) };
}

/// Empty, with room.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    pub text: Vec<u8>,
    pub tx: TxStore,
    pub memo: Memo,
    pub proposals: Proposals,
    pub scans: Vec<(Slice, Row)>,
    pub values: Vec<Value>,
    pub lists: Vec<Option<(u32, u32)>>,
    pub listed: Vec<Value>,
    pub matched: Vec<Value>,
    pub captures: Captures,
    pub scratch: Vec<u8>,
    pub joined: Vec<u8>,
    pub long_names: HashMap<(Variable, Slice), Slice>,
    pub unmarked: Vec<Unmarked>,
    pub pieces: Vec<Slice>,
    pub headers: Vec<Item>,
    pub cookies: Vec<Item>,
    pub arguments: Vec<Item>,
    pub response_headers: Vec<Item>,
}

impl Buffers {
    pub(super) fn take() -> Self {
        let free = FREE.try_with(|free| free.try_borrow_mut().ok()?.pop());
        free.ok().flatten().unwrap_or_default()
    }

    /// Keeps them for another transaction, emptied.
    fn leave(mut self) {
        let large = self.text.capacity() > LARGEST
            || self.scratch.capacity() > LARGEST
            || self.joined.capacity() > LARGEST
            || self.memo.capacity() * 32 > LARGEST
            || self.arguments.capacity() * size_of::<Item>() > LARGEST
            || self.listed.capacity() * size_of::<Value>() > LARGEST
            || self.proposals.capacity() * size_of::<Row>() > LARGEST
            || self.unmarked.capacity() * size_of::<Unmarked>() > LARGEST
            || self.pieces.capacity() * size_of::<Slice>() > LARGEST;
        if large {
            return;
        }
        self.text.clear();
        self.tx.clear();
        self.memo.clear();
        self.scans.clear();
        self.values.clear();
        self.lists.clear();
        self.listed.clear();
        self.matched.clear();
        self.captures.clear();
        self.scratch.clear();
        self.joined.clear();
        self.long_names.clear();
        self.unmarked.clear();
        self.pieces.clear();
        self.headers.clear();
        self.cookies.clear();
        self.arguments.clear();
        self.response_headers.clear();
        // A thread that ends has no use for them.
        let _ = FREE.try_with(|free| {
            if let Ok(mut free) = free.try_borrow_mut()
                && free.len() < MOST
            {
                free.push(self);
            }
        });
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        use std::mem::take;
        let buffers = Buffers {
            text: self.text.take_own(),
            tx: take(&mut self.tx),
            memo: take(&mut self.memo),
            proposals: take(&mut self.proposals),
            scans: take(&mut self.scans),
            values: take(&mut self.values),
            lists: take(&mut self.lists),
            listed: take(&mut self.listed),
            matched: take(&mut self.matching.values),
            captures: take(&mut self.captures),
            scratch: take(&mut self.scratch),
            joined: take(&mut self.joined),
            long_names: take(&mut self.long_names),
            unmarked: take(&mut self.unmarked),
            pieces: take(&mut self.pieces),
            headers: take(&mut self.request.headers),
            cookies: take(&mut self.request.cookies),
            arguments: take(&mut self.request.arguments),
            response_headers: take(&mut self.response.headers),
        };
        buffers.leave();
    }
}
