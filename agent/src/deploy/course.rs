//! What a job comes to, act by act. Pure: what happened before goes in, what to do next comes out. An interrupted job is
//! begun anew, and the [mark](super::mark) on the disk says what need not, or must not, be done again.

use mesh_proto::message::job::Job;

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Save the disk.
    Capture,
    /// Fetch the manifest and the disk's two ends, and compute the edits: whatever can be refused is refused here.
    Prepare,
    /// Empty the disk.
    Erase,
    /// Make the disk unbootable and mark it.
    Mark,
    /// Find out what is right on it already.
    Compare,
    /// Fetch and write what is not.
    Write,
    /// Read everything back.
    Verify,
    /// Write the edits and, last, the disk's ends.
    Seal,
    /// Tell the firmware.
    BootOrder,
}

impl Act {
    /// From here on what was on the disk is lost.
    fn destroys(self) -> bool {
        matches!(self, Self::Erase | Self::Mark)
    }
}

/// What is on the disk when a job begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Whatever it held before.
    Untouched,
    /// What this very job had written when it was interrupted.
    OwnWork,
}

/// The acts of one job, in order.
#[derive(Debug, Clone)]
pub(super) struct Course {
    left: std::vec::IntoIter<Act>,
    touched: bool,
}

impl Course {
    /// The acts that this job takes.
    pub(super) fn of(job: &Job, found: Found) -> Self {
        let image = job.image.is_some();
        let anew = found == Found::Untouched;
        let acts = [
            // Half of an image is not what its owner wanted to keep.
            (Act::Capture, job.capture.is_some() && anew),
            (Act::Prepare, image),
            (Act::Erase, job.erase.is_some() && anew),
            (Act::Mark, image),
            (Act::Compare, image),
            (Act::Write, image),
            (Act::Verify, image),
            (Act::Seal, image),
            // What is in a partition alone is no reason to start the disk.
            (Act::BootOrder, image && job.partition.is_none()),
        ];
        let taken = acts.into_iter().filter(|(_, taken)| *taken);
        Self {
            left: taken.map(|(act, _)| act).collect::<Vec<_>>().into_iter(),
            touched: found == Found::OwnWork,
        }
    }

    /// What to do next, when everything before went well.
    pub(super) fn next(&mut self) -> Option<Act> {
        let act = self.left.next()?;
        self.touched |= act.destroys();
        Some(act)
    }

    /// The disk no longer holds what it held: when the job ends early, it must not boot.
    pub(super) fn touched(&self) -> bool {
        self.touched
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_proto::message::job::{After, Capture, DiskRule, Erase, ImageRef};

    fn job(capture: bool, erase: bool, image: bool) -> Job {
        Job {
            id: 1,
            disk: DiskRule::default(),
            partition: None,
            capture: capture.then(|| Capture {
                name: "before".into(),
                chunk_size: 1 << 20,
                used_blocks_only: false,
            }),
            erase: erase.then_some(Erase::Discard),
            image: image.then(|| ImageRef {
                name: "a@1".into(),
                manifest: String::new(),
                size: 1,
                sector_size: 512,
                ticket: String::new(),
            }),
            grow: false,
            provision: Vec::new(),
            after: After::Stay,
        }
    }

    fn acts(job: &Job, found: Found) -> Vec<Act> {
        let mut course = Course::of(job, found);
        std::iter::from_fn(|| course.next()).collect()
    }

    #[test]
    fn what_can_be_refused_is_looked_at_before_anything_is_destroyed() {
        let mut course = Course::of(&job(true, true, true), Found::Untouched);
        assert_eq!(course.next(), Some(Act::Capture));
        assert_eq!(course.next(), Some(Act::Prepare));
        assert!(!course.touched());
        assert_eq!(course.next(), Some(Act::Erase));
        assert!(course.touched());
    }

    #[test]
    fn half_of_our_own_work_is_neither_saved_nor_erased() {
        let all = job(true, true, true);
        let resumed = acts(&all, Found::OwnWork);
        assert_eq!(resumed[..3], [Act::Prepare, Act::Mark, Act::Compare]);
        assert!(Course::of(&all, Found::OwnWork).touched());
    }

    #[test]
    fn a_job_does_only_what_it_says() {
        assert_eq!(
            acts(&job(true, false, false), Found::Untouched),
            [Act::Capture]
        );
        assert_eq!(
            acts(&job(false, true, false), Found::Untouched),
            [Act::Erase]
        );
        let image = acts(&job(false, false, true), Found::Untouched);
        assert!(!image.contains(&Act::Erase) && image.ends_with(&[Act::Seal, Act::BootOrder]));
    }
}
