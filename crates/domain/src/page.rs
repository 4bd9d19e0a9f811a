//! How lists are cut into pages: by a cursor on an id or a name, or by a range of ids.

use crate::ids::Ksuid;

/// Which way a list runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Oldest, or first by name, first.
    Ascending,
    /// Newest first.
    Descending,
}

/// Where a page begins; the item itself is on no side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cursor<C> {
    /// What follows this item in the list's order.
    After(C),
    /// The page just before this item, still in the list's order (`iterator=-…`).
    Before(C),
}

/// One page of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageQuery<C> {
    /// Items at most.
    pub limit: usize,
    /// Where to begin; the list's beginning if absent.
    pub cursor: Option<Cursor<C>>,
    /// The list's order.
    pub order: Order,
}

/// Which end of an id range fills the page when it holds more than fits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pick {
    /// The newest items.
    Newest,
    /// The oldest items.
    Oldest,
}

/// A page of a time-ordered list: ids in `from..until`. Items come newest first, whichever end was picked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdRange {
    /// Smallest id, inclusive.
    pub from: Ksuid,
    /// Greatest id, exclusive.
    pub until: Ksuid,
    /// Which end.
    pub pick: Pick,
    /// Items at most.
    pub limit: usize,
}

/// Items, and whether there are more in the direction asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageOf<T> {
    /// In the list's order.
    pub items: Vec<T>,
    /// Whether another page follows.
    pub more: bool,
}

impl<T> PageOf<T> {
    /// Nothing.
    pub fn empty() -> Self {
        Self { items: Vec::new(), more: false }
    }
    /// The same page of borrowed items.
    pub fn as_ref(&self) -> PageOf<&T> {
        PageOf { items: self.items.iter().collect(), more: self.more }
    }
    /// Another kind of item at each place.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> PageOf<U> {
        PageOf { items: self.items.into_iter().map(f).collect(), more: self.more }
    }
}
