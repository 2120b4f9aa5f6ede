//! What a person asks of a disk, checked and pinned: which version, which disk. Refused here is refused before anything
//! is queued.

use ::image::ChunkSize;
use mesh_proto::message::{
    enrol::JOIN_FILE,
    job::{After, DiskProblem, DiskRule, Erase, PartitionRule, ProvisionFile},
};

use crate::state::{
    View,
    deployment::{
        Order, Probe, Save, Until, When,
        provision::{MAX_BYTES, MAX_FILES, is_file_name},
    },
    image::{ImageName, ImageSpec, Pinned},
    machine::Machine,
};

/// How long a new system may take to speak when nobody said otherwise, seconds.
pub const ONLINE_WITHIN_S: u32 = 600;
/// The longest such time: more than a day is a machine that nobody waits for.
const LONGEST_WITHIN_S: u32 = 24 * 3600;

/// What is asked for, before it is known whether it can be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderSpec {
    /// Which disk.
    pub disk: DiskRule,
    /// Only this partition of it.
    pub partition: Option<PartitionRule>,
    /// Save it first.
    pub save_current: Option<Save>,
    /// Empty it.
    pub erase: Option<Erase>,
    /// Write this.
    pub image: Option<ImageSpec>,
    /// Grow its last partition.
    pub grow: bool,
    /// Files for the new system.
    pub provision: Vec<ProvisionFile>,
    /// A join token for the new system's agent.
    pub join: bool,
    /// What the machine does then.
    pub after: After,
    /// When it is good; `None`: online where something will speak, else handed over.
    pub until: Option<Until>,
    /// Write the saved disk back when the new system does not come.
    pub roll_back: bool,
    /// Whether somebody starts the machine for it.
    pub when: When,
}

/// Why it cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No such image.
    #[error("no image is called '{0}'; `enforcer images list` shows the known ones")]
    NoImage(ImageName),
    /// No such version.
    #[error("there is no {0}; `enforcer images show {name}` lists its versions", name = .0.image)]
    NoVersion(ImageSpec),
    /// Neither image, nor erase, nor save.
    #[error("there is nothing to do: name an image, or what is to be saved or erased")]
    Nothing,
    /// The disk.
    #[error("{machine}: {problem}")]
    Disk {
        /// Whose.
        machine: String,
        /// What is wrong.
        #[source]
        problem: DiskProblem,
    },
    /// Before a byte of it is read.
    #[error("{machine}: the disk has {bytes} bytes, which is too large to be saved")]
    TooLargeToSave {
        /// Whose.
        machine: String,
        /// Its size.
        bytes: u64,
    },
    /// A roll-back of nothing.
    #[error("a roll-back writes back what was saved: give --save-current too")]
    NothingSaved,
    /// Nobody would know that it is needed.
    #[error("a roll-back needs to know that the new system did not come: wait for it to be online")]
    NeverKnown,
    /// A partition is no disk.
    #[error(
        "into a partition an image is written and nothing more: save, erase, grow, provision, join and kexec are for whole disks"
    )]
    OnlyImage,
    /// A token that would be dead before anybody could use it.
    #[error(
        "a join token ends with its deployment: let the machine restart, and wait for it to be online"
    )]
    NobodyJoins,
    /// What belongs to an image, without one.
    #[error("{0} needs an image to be written")]
    NoImageFor(&'static str),
    /// Too many files, too large, or with names that cannot be.
    #[error("the files for the new system: {0}")]
    Provision(String),
    /// A time that makes no sense.
    #[error("a new system is waited for 10 to {LONGEST_WITHIN_S} seconds")]
    Within,
}

impl OrderSpec {
    /// The order for one machine.
    ///
    /// # Errors
    /// When it cannot be done as asked.
    pub fn pin(&self, view: &View, machine: &Machine) -> Result<Order, OrderError> {
        self.check()?;
        let image = self.image.as_ref().map(|spec| pinned(view, spec));
        let image = image.transpose()?;
        Ok(Order {
            disk: self.bind(view, machine, image.as_ref())?,
            partition: self.partition.clone(),
            save_current: self.save_current.clone(),
            erase: self.erase,
            image,
            grow: self.grow,
            provision: self.provision.clone(),
            join: self.join,
            after: self.after,
            until: self.until(),
            roll_back: self.roll_back,
            when: self.when,
        })
    }

    /// The very disk that the operator sees now, when the machine's facts are known: should it be another one later, the
    /// agent refuses. Without facts the rule itself goes to the agent.
    fn bind(
        &self,
        view: &View,
        machine: &Machine,
        image: Option<&Pinned>,
    ) -> Result<DiskRule, OrderError> {
        let Some(facts) = view.facts(&machine.id) else {
            return Ok(self.disk.clone());
        };
        let disks = &facts.facts.disks;
        let chosen = match image {
            Some(image) => self.disk.choose_for(disks, image.size, image.sector_size),
            None => self.disk.choose(disks),
        };
        let chosen = chosen.map_err(|problem| OrderError::Disk {
            machine: machine.name.to_string(),
            problem,
        })?;
        if self.save_current.is_some() && ChunkSize::default().for_disk(chosen.bytes).is_none() {
            return Err(OrderError::TooLargeToSave {
                machine: machine.name.to_string(),
                bytes: chosen.bytes,
            });
        }
        Ok(DiskRule::this(chosen))
    }

    fn until(&self) -> Until {
        match &self.until {
            Some(until) => until.clone(),
            // The files that we add make the new system speak.
            None if (!self.provision.is_empty() || self.join) && self.starts() => Until::Online {
                within_s: ONLINE_WITHIN_S,
                probe: None,
            },
            None => Until::HandedOver,
        }
    }

    fn starts(&self) -> bool {
        match self.after {
            After::Reboot | After::Kexec => self.image.is_some(),
            After::PowerOff | After::Stay => false,
        }
    }

    /// Into a partition goes a file system, and nothing beside it is touched.
    fn check_partition(&self) -> Result<(), OrderError> {
        let more = [
            self.image.is_none(),
            self.save_current.is_some(),
            self.erase.is_some(),
            self.grow,
            !self.provision.is_empty(),
            self.join,
            self.after == After::Kexec,
        ];
        match self.partition.is_some() && more.contains(&true) {
            true => Err(OrderError::OnlyImage),
            false => Ok(()),
        }
    }

    fn check(&self) -> Result<(), OrderError> {
        self.check_partition()?;
        if self.image.is_none() {
            if self.save_current.is_none() && self.erase.is_none() {
                return Err(OrderError::Nothing);
            }
            let belongs = [
                (self.grow, "growing a partition"),
                (!self.provision.is_empty(), "provisioning"),
                (self.join, "a join token"),
                (self.after == After::Kexec, "kexec"),
                (self.roll_back, "a roll-back"),
            ];
            if let Some((_, what)) = belongs.into_iter().find(|(asked, _)| *asked) {
                return Err(OrderError::NoImageFor(what));
            }
        }
        if self.roll_back && self.save_current.is_none() {
            return Err(OrderError::NothingSaved);
        }
        if self.roll_back && !matches!(self.until(), Until::Online { .. }) {
            return Err(OrderError::NeverKnown);
        }
        if self.join && !(self.starts() && matches!(self.until(), Until::Online { .. })) {
            return Err(OrderError::NobodyJoins);
        }
        check_until(&self.until())?;
        check_provision(&self.provision)
    }
}

fn check_until(until: &Until) -> Result<(), OrderError> {
    let Until::Online { within_s, probe } = until else {
        return Ok(());
    };
    let path_ok = match probe {
        Some(Probe::Http { path, .. }) => {
            path.starts_with('/') && path.len() < 1024 && path.bytes().all(|b| b.is_ascii_graphic())
        }
        Some(Probe::Tcp { .. }) | None => true,
    };
    match (10..=LONGEST_WITHIN_S).contains(within_s) && path_ok {
        true => Ok(()),
        false => Err(OrderError::Within),
    }
}

fn check_provision(files: &[ProvisionFile]) -> Result<(), OrderError> {
    let no = |why: String| Err(OrderError::Provision(why));
    if files.len() > MAX_FILES {
        return no(format!("at most {MAX_FILES}"));
    }
    if files.iter().map(|f| f.text.len()).sum::<usize>() > MAX_BYTES {
        return no(format!("at most {MAX_BYTES} bytes in all"));
    }
    for (n, file) in files.iter().enumerate() {
        let short: String = file.name.chars().take(40).collect();
        if file.name.eq_ignore_ascii_case(JOIN_FILE) {
            return no(format!("'{JOIN_FILE}' is ours: ask for `join`"));
        }
        if !is_file_name(&file.name) {
            return no(format!("'{short}' cannot be a file name"));
        }
        let same = |other: &ProvisionFile| other.name.eq_ignore_ascii_case(&file.name);
        if files[..n].iter().any(same) {
            return no(format!("'{short}' is there twice"));
        }
    }
    Ok(())
}

/// The version that a person means, as it is now.
pub(super) fn pinned(view: &View, spec: &ImageSpec) -> Result<Pinned, OrderError> {
    let image = view
        .image(&spec.image)
        .ok_or_else(|| OrderError::NoImage(spec.image.clone()))?;
    let version = image
        .version(spec.number)
        .ok_or_else(|| OrderError::NoVersion(spec.clone()))?;
    Ok(Pinned::of(image, version))
}
