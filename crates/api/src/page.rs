//! What lists are asked for: pages by iterator, pages by time.

use crate::problem::Problem;
use domain::{Cursor, Ksuid, PageQuery, Timestamp};
use serde::Deserialize;
use service::Window;
use std::fmt::Display;
use utoipa::{IntoParams, ToSchema};

/// Items of a page, if nothing else is asked for.
const LIMIT: u64 = 50;
/// Items of a page at most.
const LIMIT_MAX: u64 = 250;

/// In which order.
#[derive(Deserialize, ToSchema, Clone, Copy, Debug)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    Ascending,
    Descending,
}

impl From<Order> for domain::Order {
    fn from(order: Order) -> Self {
        match order {
            Order::Ascending => Self::Ascending,
            Order::Descending => Self::Descending,
        }
    }
}

/// A page of a list by id or name.
#[derive(Deserialize, IntoParams, Default, Debug)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// Items at most.
    #[param(minimum = 0, maximum = 250, default = 50)]
    limit: Option<u64>,
    /// The `iterator` or `prevIterator` of another page.
    iterator: Option<String>,
    /// The order of the list.
    #[param(inline)]
    order: Option<Order>,
}

/// A page of a list by time.
#[derive(Deserialize, IntoParams, Default, Debug)]
#[into_params(parameter_in = Query)]
pub(crate) struct WindowParams {
    /// Items at most.
    #[param(minimum = 0, maximum = 250, default = 50)]
    limit: Option<u64>,
    /// The `iterator` or `prevIterator` of another page.
    iterator: Option<String>,
    /// Only items before this instant.
    #[param(value_type = Option<String>, format = DateTime)]
    before: Option<Timestamp>,
    /// Only items from this instant on.
    #[param(value_type = Option<String>, format = DateTime)]
    after: Option<Timestamp>,
}

pub(crate) fn limit(asked: Option<u64>) -> Result<usize, Problem> {
    match asked.unwrap_or(LIMIT) {
        n @ 0..=LIMIT_MAX => Ok(n as usize),
        _ => Err(Problem::field(&["query", "limit", "limit"], "Given limit must not exceed 250")),
    }
}

fn cursor<C, E: Display>(
    iterator: Option<&str>,
    read: impl Fn(&str) -> Result<C, E>,
) -> Result<Option<Cursor<C>>, Problem> {
    let refuse = |e: E| Problem::field(&["query", "iterator", "__all__"], e.to_string());
    iterator
        .map(|text| match text.strip_prefix('-') {
            Some(text) => read(text).map(Cursor::Before),
            None => read(text).map(Cursor::After),
        })
        .transpose()
        .map_err(refuse)
}

impl PageParams {
    /// A page by names that `read` reads, in the order asked for or in the list's own.
    pub(crate) fn query<C, E: Display>(
        &self,
        own: domain::Order,
        read: impl Fn(&str) -> Result<C, E>,
    ) -> Result<PageQuery<C>, Problem> {
        Ok(PageQuery {
            limit: limit(self.limit)?,
            cursor: cursor(self.iterator.as_deref(), read)?,
            order: self.order.map_or(own, Into::into),
        })
    }
}

impl WindowParams {
    /// A window of ids that `read` reads.
    pub(crate) fn window<E: Display>(&self, read: impl Fn(&str) -> Result<Ksuid, E>) -> Result<Window, Problem> {
        Ok(Window {
            limit: limit(self.limit)?,
            cursor: cursor(self.iterator.as_deref(), read)?,
            before: self.before,
            after: self.after,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::MessageId;

    fn message(text: &str) -> Result<Ksuid, domain::ids::IdError> {
        text.parse::<MessageId>().map(|id| id.0)
    }
    fn loc(problem: Problem) -> String {
        problem.body()["detail"][0]["loc"].to_string()
    }

    #[test]
    fn limits_are_50_by_default_and_250_at_most() {
        assert_eq!(limit(None).unwrap(), 50);
        assert_eq!(limit(Some(0)).unwrap(), 0);
        assert_eq!(limit(Some(250)).unwrap(), 250);
        assert_eq!(loc(limit(Some(251)).unwrap_err()), r#"["query","limit","limit"]"#);
    }

    #[test]
    fn an_iterator_goes_forwards_or_with_a_minus_backwards() {
        let id = MessageId(Ksuid::MIN);
        let at = |text: String| cursor(Some(&text), message);
        assert_eq!(at(id.to_string()).unwrap(), Some(Cursor::After(id.0)));
        assert_eq!(at(format!("-{id}")).unwrap(), Some(Cursor::Before(id.0)));
        for bad in ["", "-", "app_x", "msg_x", "msg_"] {
            assert_eq!(loc(at(bad.to_owned()).unwrap_err()), r#"["query","iterator","__all__"]"#, "{bad}");
        }
    }
}
