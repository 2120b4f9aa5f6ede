//! Versions of images come and go; the bytes are the chunk store's business.

use mesh_proto::message::{Refusal, RefusalCode};

use super::{deployments::name_of, job_reports::still_wanted};
use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    deployment::Deployment,
    event::Draft,
    image::{Content, Image, ImageName, MAX_VERSIONS, Origin, Version, VersionId, Visibility},
    trust::key::Serial,
    user::UserName,
};

/// Longest note, characters.
const MAX_NOTE: usize = 500;

/// Why an image cannot be changed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// No such image.
    #[error("no image is called '{0}'; `enforcer images list` shows the known ones")]
    NotFound(ImageName),
    /// No such version.
    #[error("there is no {0}; `enforcer images show {name}` lists its versions", name = .0.image)]
    NoVersion(VersionId),
    /// Somebody needs it.
    #[error("{what} is in use: {by}", by = .by.join(", "))]
    InUse {
        /// The version or image.
        what: String,
        /// By whom, in words.
        by: Vec<String>,
    },
    /// More than [`MAX_VERSIONS`].
    #[error("{0} has {MAX_VERSIONS} versions; delete some first")]
    TooManyVersions(ImageName),
}

/// An upload is complete: its chunks and its manifest are in the chunk store. The image is made when it is new.
#[derive(Debug, Clone)]
pub struct SaveVersion {
    /// Of which image.
    pub name: ImageName,
    /// What the chunk store has.
    pub content: Content,
    /// Who uploaded it, for people.
    pub by: String,
    /// The upload's own id: saved again with it, it is the same version.
    pub upload: Option<String>,
    /// Whose a new image is.
    pub owner: Option<UserName>,
    /// Who may have a new image; `None`: public.
    pub visibility: Option<Visibility>,
    /// A person's words.
    pub note: Option<String>,
}

impl Transition for SaveVersion {
    type Outcome = Result<VersionId, ImageError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let origin = Origin::Upload {
            by: self.by.clone(),
            id: self.upload.clone(),
        };
        let image = view.image(&self.name);
        if self.upload.is_some()
            && let Some(image) = image
            && let Some(same) = image.versions.iter().find(|v| v.origin == origin)
        {
            return (Changes::none(), Ok(image.id_of(same)));
        }
        let image = image.map_or_else(|| self.fresh(now), |i| Image::clone(i));
        let note = self.note.as_deref().map(bounded);
        Changes::unless_refused(|changes| {
            let id = add(image, self.content.clone(), origin, note, now, changes)?;
            let text = format!("{} uploaded {id}", self.by);
            changes.event(about("image.saved", &id, text));
            Ok(id)
        })
    }
}

impl SaveVersion {
    /// The image, should it be new.
    fn fresh(&self, now: Timestamp) -> Image {
        let visibility = self.visibility.unwrap_or(Visibility::Public);
        Image {
            owner: self.owner.clone(),
            ..empty(&self.name, visibility, now)
        }
    }
}

pub(super) fn empty(name: &ImageName, visibility: Visibility, now: Timestamp) -> Image {
    Image {
        name: name.clone(),
        owner: None,
        visibility,
        versions: Vec::new(),
        next: 1,
        created: now,
    }
}

/// Adds a version and writes the image down.
pub(super) fn add(
    mut image: Image,
    content: Content,
    origin: Origin,
    note: Option<String>,
    now: Timestamp,
    changes: &mut Changes,
) -> Result<VersionId, ImageError> {
    if image.versions.len() >= MAX_VERSIONS {
        return Err(ImageError::TooManyVersions(image.name));
    }
    let version = Version {
        number: image.next,
        content,
        created: now,
        origin,
        note,
    };
    let id = image.id_of(&version);
    image.next += 1;
    image.versions.push(version);
    changes.write(image);
    Ok(id)
}

/// A machine's disk is saved: its chunks and its manifest are in the chunk store. From here on its job may write the disk.
#[derive(Debug, Clone)]
pub struct SaveCapture {
    /// The certificate of its link.
    pub serial: Serial,
    /// The job.
    pub job: u64,
    /// What the chunk store has.
    pub content: Content,
}

impl Transition for SaveCapture {
    type Outcome = Result<VersionId, Refusal>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        Changes::unless_refused(|changes| {
            let job = still_wanted(view, &self.serial, self.job)?;
            self.saved(view, job, now, changes)
        })
    }
}

impl SaveCapture {
    fn saved(
        &self,
        view: &View,
        job: &Deployment,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<VersionId, Refusal> {
        if let Some(before) = &job.captured {
            return Ok(before.clone());
        }
        let Some(save) = &job.order.save_current else {
            let text = "nobody asked to save this disk";
            return Err(Refusal::new(RefusalCode::NoJob, text));
        };
        let origin = Origin::Capture {
            machine: job.machine.clone(),
            job: job.id,
        };
        let known = view.image(&save.name).map(|i| Image::clone(i));
        let image = known.unwrap_or_else(|| empty(&save.name, Visibility::Private, now));
        let note = Some(format!("the disk of {}", name_of(view, job)));
        let id = add(image, self.content.clone(), origin, note, now, changes)
            .map_err(|e| Refusal::new(RefusalCode::Failed, e.to_string()))?;
        let mut next = job.clone();
        next.captured = Some(id.clone());
        let text = format!("the disk of {} is saved as {id}", name_of(view, job));
        let told = super::deployments::about("deployment.captured", &next, text);
        changes.event(told.field("saved", id.to_string()));
        changes.write(next);
        Ok(id)
    }
}

/// A person changes who may have an image, or whose it is.
#[derive(Debug, Clone)]
pub struct SetImage {
    /// Which.
    pub name: ImageName,
    /// Who may have it; `None` keeps.
    pub visibility: Option<Visibility>,
    /// Whose it is; `None` keeps, `Some(None)`: the site's.
    pub owner: Option<Option<UserName>>,
}

impl Transition for SetImage {
    type Outcome = Result<Image, ImageError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let Some(known) = view.image(&self.name) else {
            return (changes, Err(ImageError::NotFound(self.name.clone())));
        };
        let mut image = Image::clone(known);
        image.visibility = self.visibility.unwrap_or(image.visibility);
        image.owner = self.owner.clone().unwrap_or(image.owner);
        if image != **known {
            let text = format!("{} was changed", image.name);
            let draft = Draft::new("image.changed", text);
            changes.event(draft.field("image", image.name.to_string()));
            changes.write(image.clone());
        }
        (changes, Ok(image))
    }
}

/// Who needs an image, or one version of it, in words: deployments that are not over, setups, and deployments that may
/// have to write back what they saved.
#[must_use]
pub fn used_by(view: &View, name: &ImageName, number: Option<u32>) -> Vec<String> {
    let means = |id: &VersionId| id.image == *name && number.is_none_or(|n| n == id.number);
    let mut users = Vec::new();
    for job in view.open_deployments() {
        let machine = name_of(view, job);
        if job.order.image.as_ref().is_some_and(|p| means(&p.id)) {
            users.push(format!("deployment {} of {machine}", job.id));
        }
        if job.order.roll_back && job.captured.as_ref().is_some_and(&means) {
            users.push(format!(
                "the roll-back of deployment {} of {machine}",
                job.id
            ));
        }
    }
    let latest = view.image(name).and_then(|i| i.latest()).map(|v| v.number);
    for setup in view.setups() {
        let needs = |n: Option<u32>| number.is_none() || n.or(latest) == number;
        let mut items = setup.items.iter();
        if items.any(|i| i.image.image == *name && needs(i.image.number)) {
            users.push(format!("setup {}", setup.name));
        }
    }
    users
}

/// A person deletes a version; the chunk store then drops what nothing else has.
#[derive(Debug, Clone)]
pub struct DeleteVersion(pub VersionId);

impl Transition for DeleteVersion {
    type Outcome = Result<(), ImageError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let id = &self.0;
        let Some(image) = view.image(&id.image) else {
            return (changes, Err(ImageError::NotFound(id.image.clone())));
        };
        if image.version(Some(id.number)).is_none() {
            return (changes, Err(ImageError::NoVersion(id.clone())));
        }
        let by = used_by(view, &id.image, Some(id.number));
        if !by.is_empty() {
            let what = id.to_string();
            return (changes, Err(ImageError::InUse { what, by }));
        }
        let mut image = Image::clone(image);
        image.versions.retain(|v| v.number != id.number);
        // The image stays, without versions too: its numbers are not given twice.
        changes.write(image);
        changes.event(about(
            "image.version-deleted",
            id,
            format!("{id} was deleted"),
        ));
        (changes, Ok(()))
    }
}

/// A person deletes an image with all its versions.
#[derive(Debug, Clone)]
pub struct DeleteImage(pub ImageName);

impl Transition for DeleteImage {
    type Outcome = Result<(), ImageError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        if view.image(&self.0).is_none() {
            return (changes, Err(ImageError::NotFound(self.0.clone())));
        }
        let by = used_by(view, &self.0, None);
        if !by.is_empty() {
            let what = self.0.to_string();
            return (changes, Err(ImageError::InUse { what, by }));
        }
        changes.write(Key::Image(self.0.clone()));
        let draft = Draft::new("image.deleted", format!("{} was deleted", self.0));
        changes.event(draft.field("image", self.0.to_string()));
        (changes, Ok(()))
    }
}

pub(super) fn about(kind: &str, id: &VersionId, text: String) -> Draft {
    Draft::new(kind, text).field("image", id.to_string())
}

/// A person's words, cut and cleaned.
fn bounded(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(MAX_NOTE).collect()
}
