//! Lists, also live: `--watch` prints an entry again when it changed, as the controller's events tell it.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use super::{Format, Output, clean, line, name, table, widths};
use crate::{
    cli::{
        Session,
        client::read,
        failure::Failure,
        sse::{Message, Reader},
    },
    http::api::{
        Page,
        events::{EVENT, EventDoc, RESET},
    },
    state::Timestamp,
};

/// After an event the list is read once nothing more came for this long: changes come in groups.
const SETTLED: Duration = Duration::from_millis(100);
/// It is read after this long at the latest, also while events pour in.
const LATEST: Duration = Duration::from_secs(1);
/// How often a lost live view is tried again, a second apart: a controller's restart takes less.
const RETRIES: u32 = 60;
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// `-o` and `--watch`, for lists of what changes by itself.
#[derive(Debug, Args)]
pub struct Listing {
    #[command(flatten)]
    pub(in crate::cli) output: Output,
    /// Go on: print entries again as they change, until Ctrl-C; with `json` an entry a line
    #[arg(short, long)]
    watch: bool,
}

/// A column that only `-o wide` shows: its header, and the cell of an entry.
pub(in crate::cli) type Column<T> = (&'static str, fn(&T, Timestamp) -> String);

/// The columns of a list.
pub(in crate::cli) struct Columns<T: 'static, const N: usize> {
    headers: [&'static str; N],
    row: fn(&T, Timestamp) -> [String; N],
    wide: &'static [Column<T>],
}

impl<T: 'static, const N: usize> Columns<T, N> {
    pub(in crate::cli) fn new(
        headers: [&'static str; N],
        row: fn(&T, Timestamp) -> [String; N],
    ) -> Self {
        let wide = &[];
        Self { headers, row, wide }
    }

    /// With these further columns when there is room.
    pub(in crate::cli) fn wide(self, wide: &'static [Column<T>]) -> Self {
        Self { wide, ..self }
    }
}

/// [`Columns`] of any kind of entry: what follows is compiled once.
trait Shape: Sync {
    fn headers(&self, wide: bool) -> Vec<String>;
    fn cells(&self, item: &Value, wide: bool, now: Timestamp) -> Result<Vec<String>, Failure>;
}

impl<T: DeserializeOwned + 'static, const N: usize> Shape for Columns<T, N> {
    fn headers(&self, wide: bool) -> Vec<String> {
        let more = self.wide.iter().filter(|_| wide).map(|(header, _)| *header);
        let all = self.headers.iter().copied().chain(more);
        all.map(str::to_owned).collect()
    }

    fn cells(&self, item: &Value, wide: bool, now: Timestamp) -> Result<Vec<String>, Failure> {
        let item: T = read(item)?;
        let mut cells: Vec<String> = (self.row)(&item, now).into();
        let more = self.wide.iter().filter(|_| wide);
        cells.extend(more.map(|(_, cell)| cell(&item, now)));
        Ok(cells.iter().map(|cell| clean(cell)).collect())
    }
}

impl Session<'_> {
    /// Prints the list at `path`, once or live.
    pub(in crate::cli) async fn listed<T: DeserializeOwned + 'static, const N: usize>(
        &mut self,
        listing: &Listing,
        path: &str,
        columns: Columns<T, N>,
    ) -> Result<(), Failure> {
        if listing.watch {
            return self.watch(&listing.output, path, &columns).await;
        }
        let items = self.client.list(path).await?;
        self.rows(&listing.output, &items, &columns)
    }

    /// Prints a list that was read: as it is, or as a table.
    pub(in crate::cli) fn rows<T: DeserializeOwned + 'static, const N: usize>(
        &mut self,
        output: &Output,
        items: &[Value],
        columns: &Columns<T, N>,
    ) -> Result<(), Failure> {
        if self.printed(output, &items)? {
            return Ok(());
        }
        let text = whole(output, items, columns, self.now)?;
        self.text(&text)
    }

    async fn watch(
        &mut self,
        output: &Output,
        path: &str,
        shape: &dyn Shape,
    ) -> Result<(), Failure> {
        let mut shown = Shown::default();
        let mut failures = 0;
        loop {
            let before = shown.reads;
            match self.follow(output, path, shape, &mut shown).await {
                Ok(()) | Err(Failure::Unreachable { .. } | Failure::Far(_))
                    if failures < RETRIES && shown.reads > 0 => {}
                Ok(()) => return Err(Failure::Answer("the stream keeps ending".to_owned())),
                Err(failure) => return Err(failure),
            }
            if shown.reads != before {
                eprintln!("the controller is gone; waiting for it");
                failures = 0;
            }
            failures += 1;
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// One connection's life. The stream is opened first, so that nothing happens between it and the list.
    async fn follow(
        &mut self,
        output: &Output,
        path: &str,
        shape: &dyn Shape,
        shown: &mut Shown,
    ) -> Result<(), Failure> {
        let newest: Page<EventDoc> = read(&self.client.get("/events?limit=1").await?)?;
        let newest = newest.items.last().map_or(0, |event| event.seq);
        let stream = format!("/events/stream?after={newest}");
        let mut body = self.client.stream(&stream).await?;
        let mut reader = Reader::default();
        loop {
            let items = self.client.list(path).await?;
            self.now = Timestamp::now();
            shown.print(output, shape, items, self)?;
            let mut told = false;
            while !told {
                let Some(Ok(frame)) = body.frame().await else {
                    return Ok(());
                };
                let bytes = frame.into_data().unwrap_or_default();
                let told_of = |message: &Message| [EVENT, RESET].contains(&message.event.as_str());
                told = reader.feed(&bytes).iter().any(told_of);
            }
            let settle = async {
                while let Ok(Some(Ok(frame))) = timeout(SETTLED, body.frame()).await {
                    reader.feed(&frame.into_data().unwrap_or_default());
                }
            };
            // Late is as good as settled.
            let _ = timeout(LATEST, settle).await;
        }
    }
}

/// The whole table.
fn whole(
    output: &Output,
    items: &[Value],
    shape: &dyn Shape,
    now: Timestamp,
) -> Result<String, Failure> {
    let wide = output.format == Format::Wide;
    let mut rows = vec![shape.headers(wide)];
    for item in items {
        rows.push(shape.cells(item, wide, now)?);
    }
    Ok(table(&rows))
}

/// What a live list has shown.
#[derive(Default)]
struct Shown {
    /// How often the list was read.
    reads: u64,
    /// Each entry by what it is, as it was printed last.
    entries: BTreeMap<String, Value>,
    widths: Vec<usize>,
}

impl Shown {
    /// Prints what is new or has changed; what is gone is said on stderr.
    fn print(
        &mut self,
        output: &Output,
        shape: &dyn Shape,
        items: Vec<Value>,
        session: &mut Session<'_>,
    ) -> Result<(), Failure> {
        let mut now = BTreeMap::new();
        let mut changed = Vec::new();
        for item in items {
            let key = identity(&item);
            if self.entries.get(&key) != Some(&item) {
                changed.push(item.clone());
            }
            now.insert(key, item);
        }
        for (_, gone) in self
            .entries
            .iter()
            .filter(|(key, _)| !now.contains_key(*key))
        {
            eprintln!("{} is gone", clean(&name(gone).unwrap_or_default()));
        }
        self.entries = now;
        self.reads += 1;
        if !output.is_words() {
            for item in &changed {
                session.streamed(output, item)?;
            }
            return Ok(());
        }
        let wide = output.format == Format::Wide;
        let mut rows = Vec::new();
        if self.reads == 1 {
            rows.push(shape.headers(wide));
        }
        for item in &changed {
            rows.push(shape.cells(item, wide, session.now)?);
        }
        self.widths = widths(&rows, &self.widths);
        let text: String = rows.iter().map(|row| line(row, &self.widths)).collect();
        session.text(&text)
    }
}

/// What makes an entry the same at the next look. A member's name may be one of the mesh and one of a provider.
fn identity(item: &Value) -> String {
    format!("{:?} {} {}", name(item), item["id"], item["source"])
}
