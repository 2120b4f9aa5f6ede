//! How fast leases become durable, how long the disk alone takes, and what a full view weighs.
//!
//! `cargo bench -p enforcer --bench store [-- FOLDER]`; the folder decides which disk is measured. Figures depend on that
//! disk, so the raw syncs per second stand beside them, measured in the same run.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use enforcer::{
    leases::LeaseDesk,
    state::{
        Changes, Timestamp, Transition, View, Write as Row,
        event::Draft,
        lease::Subnet,
        machine::{Machine, MachineId},
        policy::Policy,
    },
    store::{Redb, Store, SystemClock},
};
use ipxe::{LeaseAnswer, LeaseAsk, LeaseVerb, MacAddr};
use tokio::{runtime::Runtime, task::JoinSet};

const RUN: Duration = Duration::from_secs(3);
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);

fn main() -> Result<()> {
    // cargo passes --bench; the first plain word is the folder.
    let folder = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(&folder).with_context(|| folder.display().to_string())?;
    println!(
        "raw: {:.0} writes of 4 KiB with fdatasync a second",
        raw_syncs(folder.path())?
    );
    let runtime = Runtime::new()?;
    for askers in [1, 8, 64, 256, 1_000] {
        let path = folder.path().join(format!("leases-{askers}.redb"));
        runtime.block_on(leases(&path, askers))?;
    }
    runtime.block_on(paced(&folder.path().join("paced.redb"), 5_000))?;
    runtime.block_on(weight(&folder.path().join("weight.redb")))
}

fn raw_syncs(folder: &Path) -> Result<f64> {
    let mut file = fs::File::create(folder.join("raw"))?;
    let (started, mut syncs) = (Instant::now(), 0_u32);
    while started.elapsed() < Duration::from_secs(2) {
        file.seek(SeekFrom::Start(u64::from(syncs % 256) * 4096))?;
        file.write_all(&[syncs as u8; 4096])?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / started.elapsed().as_secs_f64())
}

fn open(path: &Path) -> Result<Store> {
    let subnet = Subnet {
        network: RELAY,
        prefix: 16,
        pool: (Ipv4Addr::new(10, 1, 0, 0), Ipv4Addr::new(10, 1, 255, 255)),
        routers: vec![],
        dns: vec![],
        domain: None,
        lease_s: 43_200,
    };
    let policy = Policy {
        subnets: vec![subnet],
        ..Policy::default()
    };
    Ok(Store::open(Redb::open(path)?, policy, SystemClock)?)
}

fn mac(n: u32) -> MacAddr {
    let [_, a, b, c] = n.to_be_bytes();
    MacAddr([0x52, 0x54, 0, a, b, c])
}

/// A station's DISCOVER and REQUEST; how long the REQUEST, which is the durable one, took.
async fn boot(desk: &LeaseDesk, n: u32) -> Result<Duration> {
    let mut ask = LeaseAsk {
        mac: mac(n),
        verb: LeaseVerb::Discover(None),
        subnet: RELAY,
        hostname: Some("bench".to_owned()),
    };
    let LeaseAnswer::Grant(offer) = desk.lease(ask.clone()).await else {
        anyhow::bail!("no offer for station {n}");
    };
    ask.verb = LeaseVerb::Select(offer.ip);
    let started = Instant::now();
    let granted = desk.lease(ask).await;
    ensure!(
        matches!(granted, LeaseAnswer::Grant(_)),
        "no lease for station {n}"
    );
    Ok(started.elapsed())
}

/// As many askers at once, each asking again as soon as it is answered. Some 60 stations each, which come back.
async fn leases(path: &Path, askers: u32) -> Result<()> {
    let store = open(path)?;
    let desk = Arc::new(LeaseDesk::new(store.clone()));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for asker in 0..askers {
        let desk = desk.clone();
        tasks.spawn(async move {
            let mut took = Vec::new();
            while started.elapsed() < RUN {
                let station = asker * 60 + took.len() as u32 % 60;
                took.push(boot(&desk, station).await?);
            }
            anyhow::Ok(took)
        });
    }
    let took: Result<Vec<_>> = tasks.join_all().await.into_iter().collect();
    report(&format!("{askers} askers"), took?.concat(), started, &store);
    store.close().await;
    Ok(())
}

/// Stations that come at a steady rate, whether or not the others were answered.
async fn paced(path: &Path, a_second: u32) -> Result<()> {
    let store = open(path)?;
    let desk = Arc::new(LeaseDesk::new(store.clone()));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    let mut station = 0;
    while started.elapsed() < RUN {
        tick.tick().await;
        let due = started.elapsed().as_millis() as u32 * a_second / 1_000;
        while station < due {
            let desk = desk.clone();
            tasks.spawn(async move { boot(&desk, station).await });
            station += 1;
        }
    }
    let took: Result<Vec<_>> = tasks.join_all().await.into_iter().collect();
    report(&format!("{a_second} a second"), took?, started, &store);
    store.close().await;
    Ok(())
}

fn report(what: &str, mut took: Vec<Duration>, started: Instant, store: &Store) {
    let seconds = started.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    let commits = store.stats().commits;
    println!(
        "leases, {what}: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms; {:.0} commits/s of {:.1}",
        took.len() as f64 / seconds,
        at(0.5),
        at(0.99),
        commits as f64 / seconds,
        took.len() as f64 / commits as f64,
    );
}

/// Rows and events, as they are.
struct Fill(Vec<Row>, Vec<Draft>);

impl Transition for Fill {
    type Outcome = ();

    fn run(&self, _view: &View, _now: Timestamp) -> (Changes, ()) {
        let (writes, events) = (self.0.clone(), self.1.clone());
        (Changes { writes, events }, ())
    }
}

/// A view of 1,000 machines and 20,000 events: memory, and time to load it.
async fn weight(path: &Path) -> Result<()> {
    let store = open(path)?;
    let now = store.now();
    let machine = |n| Machine::seen(MachineId::from_random(u64::from(n)), mac(n), now).into();
    let event = |n: u32| {
        let text = format!("{} was sent to its own disk", mac(n % 1_000).hyphens());
        let id = MachineId::from_random(u64::from(n % 1_000));
        let draft = Draft::new("boot.answered", text).machine(&id);
        draft
            .mac(mac(n % 1_000))
            .field("plan", "local-disk")
            .field("session", "0123456789abcdef")
    };
    store
        .apply(Fill((0..1_000).map(machine).collect(), vec![]))
        .await?;
    for batch in 0..20 {
        let events = (batch * 1_000..(batch + 1) * 1_000).map(event).collect();
        store.apply(Fill(vec![], events)).await?;
    }
    store.close().await;
    drop(store);
    let (before, started) = (rss_kib()?, Instant::now());
    let store = open(path)?;
    let loaded = started.elapsed();
    println!(
        "view of {} machines and {} events: loaded in {} ms; resident {} KiB before, {} KiB after",
        store.view().machines().count(),
        store.view().event_count(),
        loaded.as_millis(),
        before,
        rss_kib()?,
    );
    Ok(())
}

fn rss_kib() -> Result<u64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages = statm
        .split(' ')
        .nth(1)
        .context("statm has a second field")?;
    Ok(pages.parse::<u64>()? * 4)
}
