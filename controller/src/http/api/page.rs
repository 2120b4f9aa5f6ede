//! Lists come in pages; a cursor says where the next one starts.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::search::Words;
use crate::http::{
    answer::Json,
    error::{Code, Problem},
};
use crate::ordered::sort_by;

/// The largest page, entries; also the default: a room of machines in one answer.
pub const MAX_PAGE: usize = 1000;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Ask again with `cursor` set to this for the entries that follow; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which part of a list to show: the whole query of lists that have no filter of their own.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Entries wanted, 1 to 1000.
    #[serde(default)]
    pub(super) limit: Option<usize>,
    /// `next` of the page before.
    #[serde(default)]
    pub(super) cursor: Option<String>,
    /// Only entries in which all these words stand, in any case: names, addresses, texts.
    #[serde(default)]
    pub(super) q: Option<String>,
}

impl PageQuery {
    /// The entries behind the cursor, in the order of their keys: what is deleted meanwhile moves nothing.
    pub(super) fn cut<I: Clone, T: Serialize>(
        &self,
        all: impl IntoIterator<Item = I>,
        key: impl Fn(&I) -> String,
        show: impl Fn(I) -> T,
    ) -> Result<Json<Page<T>>, Problem> {
        let mut entries: Vec<I> = all.into_iter().collect();
        if let Some(words) = Words::parse(self.q.as_deref())? {
            entries.retain(|entry| words.stand_in_shown(&show(entry.clone())));
        }
        let (places, next) = self.places(entries.iter().map(key).collect())?;
        let taken = places.into_iter().map(|place| entries[place].clone());
        let items = taken.map(show).collect();
        Ok(Json(Page { items, next }))
    }

    /// Where the entries of the page stand among `keys`, in the order of the keys, and the cursor of the next page. Not generic:
    /// it is in the program once, not once per list.
    fn places(&self, keys: Vec<String>) -> Result<(Vec<usize>, Option<String>), Problem> {
        let limit = page_limit(self.limit)?;
        let mut keyed: Vec<(String, usize)> = keys.into_iter().zip(0..).collect();
        sort_by(&mut keyed, Ord::cmp);
        let cursor = self.cursor.as_deref();
        let start = cursor.map_or(0, |c| keyed.partition_point(|(k, _)| k.as_str() <= c));
        let more = keyed.len() > start.saturating_add(limit);
        keyed.drain(..start);
        keyed.truncate(limit);
        let next = keyed.last().filter(|_| more).map(|(k, _)| k.clone());
        Ok((keyed.into_iter().map(|(_, place)| place).collect(), next))
    }
}

/// The key of an entry that has a number: twenty digits, so that it sorts as a text.
pub(super) fn by_number(number: u64) -> String {
    format!("{number:020}")
}

/// A page's size within its bounds.
pub(super) fn page_limit(asked: Option<usize>) -> Result<usize, Problem> {
    match asked {
        None => Ok(MAX_PAGE),
        Some(limit @ 1..=MAX_PAGE) => Ok(limit),
        Some(limit) => Err(Problem::new(
            Code::BadValue,
            format!("limit: {limit} is not between 1 and {MAX_PAGE}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(cursor: Option<&str>, limit: usize) -> Page<String> {
        let query = PageQuery {
            limit: Some(limit),
            cursor: cursor.map(str::to_owned),
            q: None,
        };
        let all = ["c", "a", "d", "b"];
        let Json(page) = query.cut(all, |s| (*s).to_owned(), str::to_owned).unwrap();
        page
    }

    #[test]
    fn pages_together_are_the_list_once() {
        assert_eq!(page(None, 3).items, ["a", "b", "c"]);
        assert_eq!(page(None, 3).next.as_deref(), Some("c"));
        assert_eq!(page(Some("c"), 3).items, ["d"]);
        assert_eq!(page(Some("c"), 3).next, None);
        assert_eq!(page(None, 4).next, None);
    }

    #[test]
    fn a_cursor_whose_entry_is_gone_goes_on_behind_it() {
        assert_eq!(page(Some("bb"), 9).items, ["c", "d"]);
    }

    #[test]
    fn a_page_without_end_is_refused() {
        assert!(page_limit(Some(0)).is_err() && page_limit(Some(MAX_PAGE + 1)).is_err());
    }
}
