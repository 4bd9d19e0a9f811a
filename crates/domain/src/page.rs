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

impl PageQuery<Ksuid> {
    /// The page of a short list that is in memory already, whatever its order.
    pub fn of_sorted<T>(&self, mut items: Vec<T>, id: impl Fn(&T) -> Ksuid) -> PageOf<T> {
        items.sort_by_key(|item| id(item));
        if self.order == Order::Descending {
            items.reverse();
        }
        let lies_after = |a: Ksuid, b: Ksuid| if self.order == Order::Ascending { a > b } else { a < b };
        match &self.cursor {
            None => {}
            Some(Cursor::After(at)) => items.retain(|item| lies_after(id(item), *at)),
            Some(Cursor::Before(at)) => {
                items.retain(|item| lies_after(*at, id(item)));
                let over = items.len().saturating_sub(self.limit);
                items.drain(..over);
                return PageOf { items, more: over > 0 };
            }
        }
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        PageOf { items, more }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_list_is_cut_like_a_long_one() {
        let id = |n: &u8| Ksuid([*n; 20]);
        let page = |cursor, order| {
            let page = PageQuery { limit: 2, cursor, order }.of_sorted(vec![2, 4, 1, 3], id);
            (page.items, page.more)
        };
        assert_eq!(page(None, Order::Ascending), (vec![1, 2], true));
        assert_eq!(page(Some(Cursor::After(id(&2))), Order::Ascending), (vec![3, 4], false));
        assert_eq!(page(Some(Cursor::After(id(&3))), Order::Descending), (vec![2, 1], false));
        assert_eq!(page(Some(Cursor::Before(id(&1))), Order::Descending), (vec![3, 2], true));
    }
}
