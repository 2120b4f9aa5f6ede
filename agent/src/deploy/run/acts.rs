//! What is done to the disk, act by act.

use image::edit;
use image::{ChunkSize, MAX_MANIFEST_BYTES};
use mesh_proto::message::job::{Capture, Edit, Step};

use super::super::capture::Capturing;
use super::super::ends;
use super::super::fault::Fault;
use super::super::lanes::LANES;
use super::super::layout::PieceSet;
use super::super::mark::Mark;
use super::super::parts;
use super::super::write::Writing;
use super::super::{compare, erase, verify};
use super::{BUDGET_BYTES, Work};

impl Work<'_> {
    pub(super) fn capture(&mut self, capture: &Capture) -> Result<(), Fault> {
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

    pub(super) fn erase(&mut self) -> Result<(), Fault> {
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

    pub(super) fn put_mark(&mut self) -> Result<(), Fault> {
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

    pub(super) fn compare(&mut self) -> Result<(), Fault> {
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

    pub(super) fn write(&mut self) -> Result<(), Fault> {
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

    pub(super) fn verify(&mut self) -> Result<(), Fault> {
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

    pub(super) fn seal(&mut self) -> Result<(), Fault> {
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
    pub(super) fn boot_order(&mut self) -> Result<(), Fault> {
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
