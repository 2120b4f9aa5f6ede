//! The list that we show our peers: each row with the revision in which it last changed, so that a reader who says how far it
//! has read is sent what is new and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::{MAX_FRAME, MAX_SITES, RowState, SiteRow};

/// Longest row, bytes, for knowing when a frame is full.
const LONGEST: usize = 256;
/// Kind, session and revision of a frame.
const HEAD: usize = 17;
/// Rows kept, forgotten sites among them.
const MAX_ROWS: usize = 2 * MAX_SITES;

/// The list.
#[derive(Debug)]
pub(super) struct Board {
    /// Drawn at random: another run of this program is another list.
    pub(super) session: u64,
    revision: u64,
    rows: BTreeMap<String, (u64, SiteRow)>,
}

impl Board {
    pub(super) fn new(session: u64) -> Self {
        Self {
            session,
            revision: 0,
            rows: BTreeMap::new(),
        }
    }

    /// What is so now; what is not among it is forgotten.
    pub(super) fn refresh(&mut self, now: impl IntoIterator<Item = SiteRow>) {
        let mut there = BTreeSet::new();
        for row in now {
            there.insert(row.site.clone());
            self.put(row);
        }
        let gone = |(_, row): &&(u64, SiteRow)| {
            row.state != RowState::Forgotten && !there.contains(&row.site)
        };
        let gone: Vec<SiteRow> = self
            .rows
            .values()
            .filter(gone)
            .map(|r| r.1.clone())
            .collect();
        for row in gone {
            self.put(SiteRow {
                state: RowState::Forgotten,
                addresses: Vec::new(),
                ..row
            });
        }
        self.make_room();
    }

    fn put(&mut self, row: SiteRow) {
        let known = self.rows.get(&row.site);
        if known.is_none_or(|(_, known)| *known != row) {
            self.revision += 1;
            self.rows.insert(row.site.clone(), (self.revision, row));
        }
    }

    /// Who has not read of the oldest that were forgotten shows them until it reads this list from its beginning.
    fn make_room(&mut self) {
        while self.rows.len() > MAX_ROWS {
            let forgotten = self
                .rows
                .values()
                .filter(|r| r.1.state == RowState::Forgotten);
            let Some((_, oldest)) = forgotten.min_by_key(|r| r.0) else {
                return;
            };
            let oldest = oldest.site.clone();
            self.rows.remove(&oldest);
        }
    }

    /// What is new to a reader, as much as one frame holds, and how far it is then; `None` when nothing is new.
    pub(super) fn since(&self, session: u64, revision: u64) -> Option<(u64, Vec<SiteRow>)> {
        let read = if session == self.session { revision } else { 0 };
        let mut new: Vec<&(u64, SiteRow)> = self.rows.values().filter(|r| r.0 > read).collect();
        new.sort_unstable_by_key(|r| r.0);
        let (mut size, mut upto, mut rows) = (HEAD, read, Vec::new());
        for (revision, row) in new {
            let mut bytes = Vec::with_capacity(LONGEST);
            row.put(&mut bytes);
            size += bytes.len();
            if size > MAX_FRAME {
                break;
            }
            upto = *revision;
            rows.push(row.clone());
        }
        (!rows.is_empty()).then_some((upto, rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(site: &str, generation: u32) -> SiteRow {
        SiteRow {
            site: site.to_owned(),
            generation,
            renewals: 0,
            incarnation: 0,
            state: RowState::Alive,
            addresses: vec!["[2001:db8::1]:4848".parse().expect("an address"); 8],
        }
    }

    fn names(rows: &[SiteRow]) -> Vec<(&str, RowState)> {
        rows.iter().map(|r| (r.site.as_str(), r.state)).collect()
    }

    #[test]
    fn a_reader_is_sent_what_changed_since_and_a_reader_of_another_list_all_of_it() {
        let mut board = Board::new(7);
        board.refresh([row("a", 1), row("b", 1)]);
        let (read, rows) = board.since(7, 0).expect("all is new");
        assert_eq!(rows.len(), 2);
        board.refresh([row("a", 1), row("b", 1)]);
        assert_eq!(board.since(7, read), None, "nothing changed");
        board.refresh([row("a", 2)]);
        let (read, rows) = board.since(7, read).expect("news");
        let forgotten = RowState::Forgotten;
        assert_eq!(names(&rows), [("a", RowState::Alive), ("b", forgotten)]);
        assert_eq!(board.since(7, read), None);
        assert_eq!(board.since(8, read).expect("another list").1.len(), 2);
    }

    #[test]
    fn a_long_list_comes_in_frames_and_misses_nothing() {
        let mut board = Board::new(7);
        board.refresh((0..MAX_SITES).map(|n| row(&format!("site-{n}"), 1)));
        let (mut read, mut got) = (0, 0);
        while let Some((upto, rows)) = board.since(7, read) {
            let frame = super::super::Frame::List {
                session: 7,
                revision: upto,
                rows: rows.clone(),
            };
            assert!(frame.to_bytes().len() <= MAX_FRAME);
            (read, got) = (upto, got + rows.len());
        }
        assert_eq!(got, MAX_SITES);
    }

    #[test]
    fn sites_that_come_and_go_do_not_fill_the_memory() {
        let mut board = Board::new(7);
        for n in 0..5_000 {
            board.refresh([row(&format!("site-{n}"), 1)]);
        }
        assert!(board.rows.len() <= MAX_ROWS);
    }
}
