//! The driver of one job: does what the [course](super::course) says, act by act.

mod acts;
mod prepare;

use mesh_proto::facts;
use mesh_proto::message::job::{Counts, DiskSeen, Edit, Job, Outcome};

use self::prepare::Prepared;
use super::controller::Controller;
use super::course::{Act, Course, Found};
use super::disk::{Buffer, Disk, Memory};
use super::ends;
use super::fault::Fault;
use super::host::Host;
use super::layout::END_BYTES;
use super::mark::Mark;
use super::meter::{Meter, Watcher};
use super::patience::Patience;
use super::slice::Slice;
use super::sources::{ChunkSource, Sources};

/// What all lanes of a job may hold in buffers at once: a machine of 512 MiB writes any image.
pub const BUDGET_BYTES: u64 = 96 << 20;

/// What a job is done with.
pub struct Setup<'a> {
    /// The machine.
    pub host: &'a dyn Host,
    /// Who gave the job.
    pub controller: &'a dyn Controller,
    /// Where chunks come from, best first.
    pub sources: Vec<&'a dyn ChunkSource>,
    /// How long to wait for those who are away.
    pub patience: Patience,
    /// Hears how far it is.
    pub watcher: Watcher<'a>,
    /// Counts buffers.
    pub memory: Memory,
    /// Sixteen random bytes: a new partition's id.
    pub partition_id: [u8; 16],
}

/// How a job ended here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// To be reported.
    Done(Outcome),
    /// Nobody wants it any more: nothing to report. What was half written does not boot.
    Cancelled(String),
}

/// Does a job to its end.
pub fn run(job: &Job, setup: &Setup<'_>) -> Ended {
    match open(job, setup) {
        Ok((seen, disk)) => Work::new(job, setup, &seen, &*disk).run(),
        Err(fault) => Ended::Done(Outcome::Failed {
            reason: fault.to_string(),
            disk_touched: false,
        }),
    }
}

/// The disk that is meant, or the partition of it, when it can be used for this job.
fn open(job: &Job, setup: &Setup<'_>) -> Result<(facts::Disk, Box<dyn Disk>), Fault> {
    let host = setup.host;
    let disks = host.disks();
    let seen = match &job.image {
        Some(image) => job.disk.choose_for(&disks, image.size, image.sector_size)?,
        None => job.disk.choose(&disks)?,
    };
    let cannot = |source| Fault::Open {
        disk: seen.name.clone(),
        source,
    };
    let disk = host.open(seen).map_err(cannot)?;
    let disk: Box<dyn Disk> = match &job.partition {
        Some(rule) => Box::new(Slice::of(disk, rule, job.image.as_ref(), &setup.memory)?),
        None => disk,
    };
    Ok((seen.clone(), disk))
}

/// A job at work.
struct Work<'a> {
    job: &'a Job,
    setup: &'a Setup<'a>,
    seen: &'a facts::Disk,
    disk: &'a dyn Disk,
    meter: Meter<'a>,
    sources: Sources<'a>,
    image: Option<Prepared>,
    /// Everything reads as zeros.
    blank: bool,
    counts: Counts,
    edits: Vec<Edit>,
}

impl<'a> Work<'a> {
    fn new(job: &'a Job, setup: &'a Setup<'a>, seen: &'a facts::Disk, disk: &'a dyn Disk) -> Self {
        let ticket = job.image.as_ref().map_or("", |image| image.ticket.as_str());
        Self {
            job,
            setup,
            seen,
            disk,
            meter: Meter::new(job.id, setup.controller, setup.patience, setup.watcher),
            sources: Sources::new(setup.sources.clone(), ticket, setup.patience),
            image: None,
            blank: false,
            counts: Counts::default(),
            edits: Vec::new(),
        }
    }

    fn run(mut self) -> Ended {
        let mark = match self.mark() {
            Ok(mark) => mark,
            Err(fault) => return self.failed(&fault, false),
        };
        let found = match mark {
            Some(mark) if mark.job == self.job.id => Found::OwnWork,
            _ => Found::Untouched,
        };
        let mut course = Course::of(self.job, found);
        while let Some(act) = course.next() {
            if let Err(fault) = self.act(act, mark) {
                return self.failed(&fault, course.touched());
            }
        }
        self.written()
    }

    fn act(&mut self, act: Act, mark: Option<Mark>) -> Result<(), Fault> {
        match act {
            Act::Capture => self
                .job
                .capture
                .as_ref()
                .map_or(Ok(()), |capture| self.capture(capture)),
            Act::Prepare => self
                .job
                .image
                .as_ref()
                .map_or(Ok(()), |image| self.prepare(image, mark)),
            Act::Erase => self.erase(),
            Act::Mark => self.put_mark(),
            Act::Compare => self.compare(),
            Act::Write => self.write(),
            Act::Verify => self.verify(),
            Act::Seal => self.seal(),
            Act::BootOrder => self.boot_order(),
        }
    }

    /// Whose work the disk's first sector says it holds.
    fn mark(&self) -> Result<Option<Mark>, Fault> {
        let len = self.disk.geometry().sector_size;
        let mut sector = Buffer::new(len as usize, &self.setup.memory);
        self.disk
            .read(0, &mut sector)
            .map_err(Fault::disk("reading", 0, len.into()))?;
        Ok(Mark::find(&sector))
    }

    fn written(mut self) -> Ended {
        self.counts.wire_bytes = self.meter.wire();
        self.counts.wrong_chunks = self.sources.wrong();
        Ended::Done(Outcome::Written {
            disk: DiskSeen {
                name: self.seen.name.clone(),
                model: self.seen.model.clone(),
                serial: self.seen.serial.clone(),
                bytes: self.seen.bytes,
            },
            edits: self.edits,
            counts: self.counts,
            kexec: None,
        })
    }

    /// What was half written must not boot, also not by what the seal had put there already.
    fn failed(&self, fault: &Fault, touched: bool) -> Ended {
        let mut reason = fault.to_string();
        let wrong = self.sources.wrong();
        if !wrong.is_empty() {
            let names: Vec<_> = wrong
                .iter()
                .map(|(name, n)| format!("{name} gave {n} wrong chunks"))
                .collect();
            reason = format!("{reason} ({})", names.join(", "));
        }
        if touched && let Err(error) = self.unbootable() {
            reason = format!("{reason}; and it could not be made unbootable: {error}");
        }
        match fault {
            Fault::Cancelled(why) => Ended::Cancelled(why.clone()),
            _ => Ended::Done(Outcome::Failed {
                reason,
                disk_touched: touched,
            }),
        }
    }

    fn unbootable(&self) -> Result<(), Fault> {
        let bytes = self.disk.geometry().bytes;
        let head = END_BYTES.min(bytes);
        ends::wipe(
            self.disk,
            head,
            (bytes - head).max(head),
            None,
            &self.setup.memory,
        )
    }
}
