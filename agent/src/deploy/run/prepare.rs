//! All that has to be known before the first byte is written: the manifest, the disk's two ends, and the edits. Whatever
//! can be refused is refused here.

use image::edit::{self, Plan, Target, Wish};
use image::{ChunkId, Manifest};
use mesh_proto::message::job::{ImageRef, Step};

use super::super::ends::{self, Ends};
use super::super::fault::Fault;
use super::super::layout::{Layout, PieceSet};
use super::super::mark::Mark;
use super::super::stale::Stale;
use super::Work;

/// A manifest of the largest image there is.
const MANIFEST_LIMIT: u64 = 130 << 20;

/// See the file's head.
pub(super) struct Prepared {
    pub(super) manifest: Manifest,
    pub(super) digest: ChunkId,
    pub(super) layout: Layout,
    pub(super) ends: Ends,
    pub(super) plan: Plan,
    pub(super) right: PieceSet,
    /// What the mark found on the disk says of it.
    pub(super) marked: bool,
}

impl Work<'_> {
    pub(super) fn prepare(&mut self, image: &ImageRef, mark: Option<Mark>) -> Result<(), Fault> {
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

    pub(super) fn image(&self) -> Result<&Prepared, Fault> {
        self.image.as_ref().ok_or_else(unprepared)
    }

    pub(super) fn image_mut(&mut self) -> Result<&mut Prepared, Fault> {
        self.image.as_mut().ok_or_else(unprepared)
    }
}

/// Acts that need an image come after the one that fetched it.
fn unprepared() -> Fault {
    Fault::Job("it has no image".to_owned())
}
