//! The driver of one job: does what the [course](super::course) says, act by act.

use image::edit::{self, Plan, Target, Wish};
use image::{ChunkId, ChunkSize, MAX_MANIFEST_BYTES, Manifest};
use mesh_proto::facts;
use mesh_proto::message::job::{Capture, Counts, DiskSeen, Edit, ImageRef, Job, Outcome, Step};

use super::capture::Capturing;
use super::controller::Controller;
use super::course::{Act, Course, Found};
use super::disk::{Buffer, Disk, Memory};
use super::ends::{self, Ends};
use super::fault::Fault;
use super::host::Host;
use super::lanes::LANES;
use super::layout::{END_BYTES, Layout, PieceSet};
use super::mark::Mark;
use super::meter::{Meter, Watcher};
use super::parts;
use super::patience::Patience;
use super::sources::{ChunkSource, Sources};
use super::stale::Stale;
use super::write::Writing;
use super::{compare, erase, verify};

/// What all lanes of a job may hold in buffers at once: a machine of 512 MiB writes any image.
pub const BUDGET_BYTES: u64 = 96 << 20;
/// A manifest of the largest image there is.
const MANIFEST_LIMIT: u64 = 130 << 20;

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
    match open(job, setup.host) {
        Ok((seen, disk)) => Work::new(job, setup, &seen, &*disk).run(),
        Err(fault) => Ended::Done(Outcome::Failed {
            reason: fault.to_string(),
            disk_touched: false,
        }),
    }
}

/// The disk that is meant, when it can be used for this job.
fn open(job: &Job, host: &dyn Host) -> Result<(facts::Disk, Box<dyn Disk>), Fault> {
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

/// All that has to be known before the first byte is written.
struct Prepared {
    manifest: Manifest,
    digest: ChunkId,
    layout: Layout,
    ends: Ends,
    plan: Plan,
    right: PieceSet,
    /// What the mark found on the disk says of it.
    marked: bool,
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

    fn capture(&mut self, capture: &Capture) -> Result<(), Fault> {
        let geometry = self.disk.geometry();
        let chunk = chunk_size(capture, geometry.bytes)?;
        self.meter.begin(Step::Capturing, geometry.bytes)?;
        let unused = match capture.used_blocks_only {
            true => parts::unused(self.setup.host, self.seen, self.disk, &self.setup.memory)?,
            false => Default::default(),
        };
        let capturing = Capturing {
            job: self.job.id,
            chunk,
            disk: self.disk,
            unused: &unused,
            controller: self.setup.controller,
            patience: self.setup.patience,
            meter: &self.meter,
            memory: &self.setup.memory,
        };
        // A lane holds a batch, and at worst as much again on its way.
        let version = capturing.run(lanes_for(2 * chunk.get().max(8 << 20)))?;
        self.setup
            .host
            .say(&format!("the disk is saved as {version}"));
        Ok(())
    }

    fn prepare(&mut self, image: &ImageRef, mark: Option<Mark>) -> Result<(), Fault> {
        if self.job.erase.is_none() {
            self.meter.begin(Step::Fetching, image.size)?;
        }
        let controller = self.setup.controller;
        let bytes = self
            .setup
            .patience
            .ask(|| controller.manifest(&image.ticket, MANIFEST_LIMIT))?;
        self.meter.add_wire(bytes.len() as u64);
        let digest = ChunkId::of(&bytes);
        if digest.to_string() != image.manifest {
            return Err(Fault::Manifest(format!(
                "it is {digest}, not {}",
                image.manifest
            )));
        }
        let manifest = Manifest::parse(&bytes)?;
        let geometry = self.disk.geometry();
        if manifest.size() != image.size
            || manifest.sector_size() != geometry.sector_size
            || manifest.size() > geometry.bytes
        {
            return Err(Fault::Manifest(
                "it does not describe the image of the job".to_owned(),
            ));
        }
        let layout = Layout::of(&manifest, geometry);
        let memory = &self.setup.memory;
        let ends = ends::fetch(
            &manifest,
            &layout,
            self.disk,
            &self.sources,
            &self.meter,
            memory,
        )?;
        let plan = self.plan(&manifest, &ends)?;
        self.image = Some(Prepared {
            right: PieceSet::new(manifest.pieces_len(), false),
            marked: mark.is_some_and(|mark| mark.image == digest),
            manifest,
            digest,
            layout,
            ends,
            plan,
        });
        Ok(())
    }

    fn plan(&self, manifest: &Manifest, ends: &Ends) -> Result<Plan, Fault> {
        let geometry = self.disk.geometry();
        let files = self.job.provision.iter();
        let files: Vec<_> = files
            .map(|file| (file.name.as_str(), file.text.as_bytes()))
            .collect();
        let target = Target {
            bytes: geometry.bytes,
            sector_size: geometry.sector_size,
        };
        // Whoever gets no files of their own keeps what is in the image.
        let stale = match files.is_empty() {
            true => Vec::new(),
            false => Stale {
                manifest,
                disk: self.disk,
                sources: &self.sources,
                meter: &self.meter,
                memory: &self.setup.memory,
            }
            .volumes(&ends.head, target)?,
        };
        let wish = Wish {
            grow: self.job.grow,
            provision: &files,
            partition_id: self.setup.partition_id,
            stale: &stale,
        };
        Ok(edit::plan(&ends.head, target, &wish)?)
    }

    fn erase(&mut self) -> Result<(), Fault> {
        let Some(how) = self.job.erase else {
            return Ok(());
        };
        // Once to empty it, once to look.
        self.meter
            .begin(Step::Erasing, 2 * self.disk.geometry().bytes)?;
        // Half an erased disk must not boot either.
        self.unbootable()?;
        let sanitize = || self.setup.host.sanitize(self.seen);
        erase::erase(
            how,
            self.disk,
            sanitize,
            &self.meter,
            lanes_for(1 << 20),
            &self.setup.memory,
        )?;
        self.blank = true;
        Ok(())
    }

    fn put_mark(&mut self) -> Result<(), Fault> {
        let image = self.image()?;
        // The last question before something is lost: is the job still wanted?
        self.meter
            .begin(Step::Fetching, image.layout.middle_bytes())?;
        let mark = Mark {
            job: self.job.id,
            image: image.digest,
        };
        let layout = &image.layout;
        ends::wipe(
            self.disk,
            layout.head_end,
            layout.wipe_start,
            Some(mark),
            &self.setup.memory,
        )
    }

    fn compare(&mut self) -> Result<(), Fault> {
        let image = self.image()?;
        let (manifest, layout, memory) = (&image.manifest, &image.layout, &self.setup.memory);
        if self.blank {
            let mut right = PieceSet::new(manifest.pieces_len(), false);
            let holes = manifest
                .pieces()
                .enumerate()
                .filter(|(_, piece)| piece.id.is_none());
            holes.for_each(|(index, _)| right.insert(index));
            self.image_mut()?.right = right;
            return Ok(());
        }
        if !image.marked && !compare::looks_alike(manifest, layout, self.disk, memory)? {
            return Ok(());
        }
        let lanes = lanes_for(manifest.chunk_size().get());
        let compared = compare::compare(manifest, layout, self.disk, &self.meter, lanes, memory)?;
        self.counts.kept_bytes = compared.kept_bytes;
        self.image_mut()?.right = compared.right;
        Ok(())
    }

    fn write(&mut self) -> Result<(), Fault> {
        let image = self.image()?;
        let kept = self.counts.kept_bytes;
        self.meter
            .begin(Step::Writing, image.layout.middle_bytes() - kept)?;
        let writing = Writing {
            manifest: &image.manifest,
            layout: &image.layout,
            right: &image.right,
            disk: self.disk,
            sources: &self.sources,
            meter: &self.meter,
            memory: &self.setup.memory,
        };
        // A chunk as it came, and unpacked.
        let written = writing.run(lanes_for(2 * image.manifest.chunk_size().get()))?;
        ends::flush(self.disk)?;
        self.counts.written_bytes += written;
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Fault> {
        let image = self.image()?;
        let (manifest, layout) = (&image.manifest, &image.layout);
        self.meter.begin(Step::Verifying, layout.middle_bytes())?;
        let lanes = lanes_for(manifest.chunk_size().get());
        let verified = verify::verify(
            manifest,
            layout,
            self.disk,
            &self.meter,
            lanes,
            &self.setup.memory,
        )?;
        self.counts.verified_bytes += verified;
        Ok(())
    }

    fn seal(&mut self) -> Result<(), Fault> {
        let image = self.image()?;
        let ends = image.layout.size - image.layout.middle_bytes();
        self.meter.begin(Step::Editing, ends)?;
        let sealed = ends::seal(
            self.disk,
            &image.layout,
            &image.ends,
            &image.plan,
            &self.setup.memory,
        )?;
        let edits: Vec<_> = image.plan.changes.iter().map(recorded).collect();
        self.edits.extend(edits);
        self.counts.written_bytes += sealed;
        self.counts.verified_bytes += sealed;
        self.meter.add(ends)
    }

    /// A machine that keeps its old boot order still boots from the network, and from there into its disk.
    fn boot_order(&mut self) -> Result<(), Fault> {
        let esp = parts::list(self.disk, &self.setup.memory)?
            .into_iter()
            .find(|part| part.is_esp);
        let Some(esp) = esp else { return Ok(()) };
        match self
            .setup
            .host
            .boot_order(&esp, self.disk.geometry().sector_size)
        {
            Ok(true) => self.edits.push(Edit::BootOrder),
            Ok(false) => {}
            Err(why) => self
                .setup
                .host
                .say(&format!("the firmware's boot order stays as it is: {why}")),
        }
        Ok(())
    }

    fn image(&self) -> Result<&Prepared, Fault> {
        self.image.as_ref().ok_or_else(unprepared)
    }

    fn image_mut(&mut self) -> Result<&mut Prepared, Fault> {
        self.image.as_mut().ok_or_else(unprepared)
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

/// As asked, or larger where the disk is: what comes of it has to be taken, and that is known before the first byte is read.
fn chunk_size(capture: &Capture, disk_bytes: u64) -> Result<ChunkSize, Fault> {
    let asked = ChunkSize::try_from(capture.chunk_size);
    let asked = asked.map_err(|e| Fault::Job(e.to_string()))?;
    let too_large = || {
        Fault::Job(format!(
            "a disk of {disk_bytes} bytes is too large to be saved; its manifest would have more than {MAX_MANIFEST_BYTES} bytes"
        ))
    };
    asked.for_disk(disk_bytes).ok_or_else(too_large)
}

/// Acts that need an image come after the one that fetched it.
fn unprepared() -> Fault {
    Fault::Job("it has no image".to_owned())
}

fn recorded(change: &edit::Change) -> Edit {
    match *change {
        edit::Change::BackupTableMoved => Edit::BackupTableMoved,
        edit::Change::PartitionGrown { number, end } => Edit::PartitionGrown { number, end },
        edit::Change::ProvisionRemoved { offset, len } => Edit::ProvisionRemoved { offset, len },
        edit::Change::Provisioned { offset, len } => Edit::Provisioned { offset, len },
    }
}

/// As many lanes as the budget allows, when each holds so much.
fn lanes_for(bytes_each: u32) -> usize {
    let fitting = BUDGET_BYTES * 2 / 3 / u64::from(bytes_each.max(1));
    usize::try_from(fitting).map_or(LANES, |lanes| lanes.clamp(1, LANES))
}
