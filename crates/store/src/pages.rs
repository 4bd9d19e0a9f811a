//! Cutting lists into pages by cursor; the arithmetic only, the same for every engine.

use domain::{Cursor, EventTypeName, Ksuid, Order, PageOf, PageQuery};

/// How a page of a list by id or name is read: what lies beyond `bound`, and in which direction from there.
pub(crate) struct Way<B> {
    /// Towards greater ones.
    pub(crate) ascending: bool,
    /// Where to begin, itself left out; beyond the end of the list if the page has no cursor.
    pub(crate) bound: B,
    /// The page was read against the list's order.
    turned: bool,
    limit: usize,
}

impl<B> Way<B> {
    fn new<C>(page: PageQuery<C>, bound_at: impl FnOnce(C) -> B, least: B, greatest: B) -> Self {
        let (turned, at) = match page.cursor {
            None => (false, None),
            Some(Cursor::After(at)) => (false, Some(at)),
            Some(Cursor::Before(at)) => (true, Some(at)),
        };
        let ascending = (page.order == Order::Ascending) != turned;
        let bound = at.map(bound_at).unwrap_or(if ascending { least } else { greatest });
        Self { ascending, bound, turned, limit: page.limit }
    }
    /// How many rows to read: one more than the page holds, to know whether another page follows.
    pub(crate) fn rows(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX).saturating_add(1)
    }
    /// The page in the list's order.
    pub(crate) fn cut<T>(&self, mut items: Vec<T>) -> PageOf<T> {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        if self.turned {
            items.reverse();
        }
        PageOf { items, more }
    }
}

impl Way<Vec<u8>> {
    /// For a list by id.
    pub(crate) fn by_id(page: PageQuery<Ksuid>) -> Self {
        Self::new(page, |id| id.0.to_vec(), Vec::new(), vec![0xff; 21])
    }
}

impl Way<String> {
    /// For a list by name; every character of a name is less than DEL.
    pub(crate) fn by_name(page: PageQuery<EventTypeName>) -> Self {
        Self::new(page, |name| name.as_str().to_owned(), String::new(), "\x7f".to_owned())
    }
}

/// A page of what is all in memory, ascending by its first part.
pub(crate) fn cut<A, B>(mut sorted: Vec<(Ksuid, A, B)>, page: &PageQuery<Ksuid>) -> PageOf<(Ksuid, A, B)> {
    let ascending = page.order == Order::Ascending;
    if !ascending {
        sorted.reverse();
    }
    let precedes = |a: Ksuid, b: Ksuid| if ascending { a < b } else { a > b };
    match page.cursor {
        None => {}
        Some(Cursor::After(at)) => sorted.retain(|(id, ..)| precedes(at, *id)),
        Some(Cursor::Before(at)) => sorted.retain(|(id, ..)| precedes(*id, at)),
    }
    let more = sorted.len() > page.limit;
    if let Some(Cursor::Before(_)) = page.cursor {
        sorted.drain(..sorted.len().saturating_sub(page.limit));
    } else {
        sorted.truncate(page.limit);
    }
    PageOf { items: sorted, more }
}
