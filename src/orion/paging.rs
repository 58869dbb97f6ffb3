//! When a list is whole. Pure: pages come in, and what to ask next comes out.
//!
//! Nothing is documented about paging, so no single sign is trusted: a server may clamp `limit` without saying so,
//! ignore it, or ignore `offset`.

use std::collections::HashSet;

use super::Listing;
use super::wire::Page;
use crate::api::RemoteWebhook;

/// The `limit` of every page.
pub(super) const LIMIT: usize = 100;
/// A list of more pages than this is given up.
const MAX_PAGES: usize = 1000;
/// A list of more bytes than this is given up: 50,000 webhooks with long headers fit, and no Orion can fill our memory.
pub(super) const LIST_AT_MOST: usize = 128 * 1024 * 1024;

/// What one connection has learned about the paging of its server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    /// The largest page that came without a `total`. A shorter one is the last.
    largest: usize,
    /// `limit` and `offset` change nothing: every answer is the whole list.
    ignores_paging: bool,
    /// The server refused `limit`: it is left out.
    pub(super) refuses_limit: bool,
}

/// What to do after a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask for the page at [`Pager::offset`].
    Page,
    /// Ask once with `limit=1` and give the number of webhooks to [`Pager::probed`]; then it is done.
    Probe,
    /// All was read.
    Done,
}

/// One pass over the pages of a list.
#[derive(Debug, Default)]
pub(super) struct Pager {
    webhooks: Vec<RemoteWebhook>,
    ids: HashSet<String>,
    offset: usize,
    pages: usize,
    bytes: usize,
    bytes_at_most: usize,
    total: Option<u64>,
    flaw: Option<String>,
}

impl Pager {
    /// A pass that gives up after so many bytes.
    pub(super) fn new(bytes_at_most: usize) -> Self {
        Self { bytes_at_most, ..Self::default() }
    }

    /// How many webhooks were shown so far.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// Takes the next page in.
    pub(super) fn take(&mut self, page: Page, memory: &mut Memory) -> Next {
        let shown = page.webhooks.len();
        let repeats = shown > 0
            && page.webhooks.iter().all(|item| item.as_ref().is_some_and(|webhook| self.ids.contains(&webhook.id)));
        self.pages += 1;
        self.bytes = self.bytes.saturating_add(page.bytes);
        if repeats && self.pages > 1 {
            return self.repeated(page.total);
        }
        self.offset += shown;
        for item in page.webhooks {
            self.add(item);
        }
        if self.total.is_some() && page.total != self.total {
            self.flawed("its total changed while it was read");
        }
        self.total = page.total.or(self.total);

        let last = match self.total {
            Some(total) => {
                let count = u64::try_from(self.offset).unwrap_or(u64::MAX);
                if count > total || (count < total && shown == 0) {
                    self.flawed("its total is not the number of webhooks that it shows");
                }
                count >= total || shown == 0
            }
            None => {
                // A whole list of exactly LIMIT webhooks looks like a full page: then it is asked again.
                let whole = memory.ignores_paging && shown != LIMIT;
                let short = shown < memory.largest;
                memory.largest = memory.largest.max(shown);
                let last = shown == 0 || whole || short;
                if last && page.more {
                    self.flawed("it says that there are more pages than limit and offset reach");
                }
                last
            }
        };
        if last {
            return Next::Done;
        }
        if self.bytes > self.bytes_at_most {
            self.flawed(&format!("it has more than {} MiB", self.bytes_at_most / 1024 / 1024));
            return Next::Done;
        }
        if self.pages >= MAX_PAGES {
            self.flawed(&format!("it has more than {MAX_PAGES} pages"));
            return Next::Done;
        }
        Next::Page
    }

    /// The number of webhooks that came for `limit=1`, after a page that repeated the one before.
    pub(super) fn probed(&mut self, shown: usize, memory: &mut Memory) {
        if shown > 1 {
            memory.ignores_paging = true;
        } else {
            self.flawed("its pages repeat");
        }
    }

    /// What was read.
    pub(super) fn finish(self) -> Listing {
        Listing { webhooks: self.webhooks, flaw: self.flaw }
    }

    /// A page of nothing but known ids. Where that is the second page, `limit` and `offset` may both be ignored, and
    /// then the first page was the whole list.
    fn repeated(&mut self, total: Option<u64>) -> Next {
        if total.is_some() || self.pages != 2 {
            self.flawed("its pages repeat");
            return Next::Done;
        }
        if self.offset == 1 {
            // One webhook, twice, where a hundred were asked for: no probe could tell more.
            return Next::Done;
        }
        Next::Probe
    }

    fn add(&mut self, item: Option<RemoteWebhook>) {
        match item {
            None => self.flawed("it shows a webhook without an id"),
            Some(webhook) if !self.ids.insert(webhook.id.clone()) => self.flawed("it shows an id twice"),
            Some(webhook) => self.webhooks.push(webhook),
        }
    }

    /// The first flaw is kept.
    fn flawed(&mut self, why: &str) {
        self.flaw.get_or_insert_with(|| format!("the list of webhooks cannot be trusted: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::wire;
    use super::*;

    /// What a server does with `limit` and `offset`.
    #[derive(Clone, Copy)]
    struct Server {
        items: usize,
        clamp: usize,
        uses_limit: bool,
        uses_offset: bool,
        total: Option<i64>,
    }

    const HONEST: Server = Server { items: 0, clamp: LIMIT, uses_limit: true, uses_offset: true, total: None };

    impl Server {
        fn answer(&self, limit: usize, offset: usize) -> Page {
            let limit = if self.uses_limit { limit.min(self.clamp) } else { usize::MAX };
            let offset = if self.uses_offset { offset } else { 0 };
            let ids: Vec<_> = (0..self.items).skip(offset).take(limit).map(|id| json!({"id": id})).collect();
            let body = match self.total {
                None => json!(ids),
                Some(lie) => {
                    json!({"items": ids, "total": i64::try_from(self.items).unwrap() + lie})
                }
            };
            wire::page(body).unwrap()
        }

        /// Reads all, and says how many calls that took.
        fn list(&self, memory: &mut Memory) -> (Listing, usize) {
            let mut pager = Pager::default();
            let mut calls = 0;
            loop {
                calls += 1;
                match pager.take(self.answer(LIMIT, pager.offset()), memory) {
                    Next::Page => {}
                    Next::Done => return (pager.finish(), calls),
                    Next::Probe => {
                        pager.probed(self.answer(1, 0).webhooks.len(), memory);
                        return (pager.finish(), calls + 1);
                    }
                }
            }
        }
    }

    #[test]
    fn honest_servers_are_read_whole() {
        for items in [0, 1, 2, 20, 99, 100, 101, 250] {
            for clamp in [1, 20, 50, LIMIT] {
                for total in [None, Some(0)] {
                    let mut memory = Memory::default();
                    for _ in 0..3 {
                        let (listing, calls) = Server { items, clamp, total, ..HONEST }.list(&mut memory);
                        assert_eq!((listing.webhooks.len(), listing.flaw), (items, None), "{items} {clamp} {total:?}");
                        assert!(calls <= items.div_ceil(clamp) + 1);
                    }
                }
            }
        }
    }

    #[test]
    fn a_total_saves_the_empty_page() {
        assert_eq!(Server { items: 3, total: Some(0), ..HONEST }.list(&mut Memory::default()).1, 1);
        assert_eq!(Server { items: 250, total: Some(0), ..HONEST }.list(&mut Memory::default()).1, 3);
    }

    #[test]
    fn a_server_without_paging_shows_the_whole_list_and_is_remembered() {
        for items in [1, 2, 100, 250] {
            let server = Server { items, uses_limit: false, uses_offset: false, ..HONEST };
            let mut memory = Memory::default();
            for _ in 0..2 {
                let (listing, _) = server.list(&mut memory);
                assert_eq!((listing.webhooks.len(), listing.flaw), (items, None), "{items}");
            }
            assert_eq!(memory.ignores_paging, items > 1);
            if matches!(items, 2 | 250) {
                assert_eq!(server.list(&mut memory).1, 1);
            }
        }
    }

    #[test]
    fn a_server_that_ignores_offset_only_is_flawed() {
        let (listing, _) = Server { items: 250, uses_offset: false, ..HONEST }.list(&mut Memory::default());
        assert!(listing.flaw.unwrap().contains("pages repeat"));
    }

    #[test]
    fn a_total_that_lies_is_a_flaw() {
        for (lie, uses_offset) in [(5, true), (-1, true), (5, false)] {
            let server = Server { items: 3, total: Some(lie), uses_offset, ..HONEST };
            assert!(server.list(&mut Memory::default()).0.flaw.is_some(), "{lie}");
        }
    }

    fn take_all(pages: &[serde_json::Value]) -> Option<String> {
        let (mut pager, mut memory) = (Pager::default(), Memory::default());
        for page in pages {
            if pager.take(wire::page(page.clone()).unwrap(), &mut memory) != Next::Page {
                break;
            }
        }
        pager.finish().flaw
    }

    #[test]
    fn ids_that_are_missing_or_double_are_flaws() {
        for (pages, says) in [
            (vec![json!([{"id": 1}, {"id": 1}]), json!([])], "twice"),
            (vec![json!([{"id": 1}, {"url": "x"}]), json!([])], "without an id"),
            (vec![json!([{"id": 1}, {"id": 2}]), json!([{"id": 2}, {"id": 3}]), json!([])], "twice"),
            (vec![json!([{"id": 1}, {"id": 2}]), json!([{"id": 3}, {"id": 4}]), json!([{"id": 1}])], "repeat"),
            (vec![json!({"items": [{"id": 1}], "total": 2}), json!({"items": [{"id": 2}], "total": 3})], "changed"),
            (vec![json!({"items": [{"id": 1}], "next": "/x"}), json!({"items": [], "next": "/x"})], "more pages"),
        ] {
            assert!(take_all(&pages).unwrap().contains(says), "{pages:?}");
        }
    }

    #[test]
    fn a_heavy_list_is_given_up() {
        let (mut pager, mut memory, mut pages) = (Pager::new(LIST_AT_MOST), Memory::default(), 0);
        loop {
            let page = Page { bytes: 1024 * 1024, ..wire::page(json!([{"id": pages}])).unwrap() };
            pages += 1;
            if pager.take(page, &mut memory) == Next::Done {
                break;
            }
        }
        assert_eq!(pages, 129);
        assert!(pager.finish().flaw.unwrap().contains("128 MiB"));
    }

    #[test]
    fn an_endless_list_is_given_up() {
        let (mut pager, mut memory) = (Pager::default(), Memory::default());
        let mut page = 0;
        while pager.take(wire::page(json!([{"id": page}])).unwrap(), &mut memory) == Next::Page {
            page += 1;
        }
        assert_eq!(page, MAX_PAGES - 1);
        assert!(pager.finish().flaw.is_some());
    }
}
