//! A version of an image came from another site: its bytes are in the chunk store.

use super::images::{ImageError, about, add, empty};
use crate::state::{
    Changes, Timestamp, Transition, View,
    image::{Content, Image, ImageName, Origin, VersionId, Visibility},
    peer::SiteName,
    user::UserName,
};

/// Writes it down. What came from the same version before is the same version here: who pulls twice gets nothing twice.
#[derive(Debug, Clone)]
pub struct SavePulled {
    /// What it is called here.
    pub name: ImageName,
    /// What the chunk store has.
    pub content: Content,
    /// Whose it was.
    pub site: SiteName,
    /// What it is called there.
    pub version: VersionId,
    /// Who asked for it, for people.
    pub by: String,
    /// Whose a new image is.
    pub owner: Option<UserName>,
    /// Words that stood there.
    pub note: Option<String>,
}

impl Transition for SavePulled {
    type Outcome = Result<VersionId, ImageError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let known = view.image(&self.name);
        if let Some(image) = known
            && let Some(same) = image
                .versions
                .iter()
                .find(|v| self.is(&v.origin, &v.content))
        {
            return (Changes::none(), Ok(image.id_of(same)));
        }
        let image = known.map_or_else(|| self.fresh(now), |i| Image::clone(i));
        let origin = Origin::Pulled {
            site: self.site.clone(),
            version: self.version.clone(),
            by: self.by.clone(),
        };
        Changes::unless_refused(|changes| {
            let (content, note) = (self.content.clone(), self.note.clone());
            let id = add(image, content, origin, note, now, changes)?;
            let text = format!(
                "{} pulled {} from {} as {id}",
                self.by, self.version, self.site
            );
            let draft = about("image.saved", &id, text);
            changes.event(draft.field("site", self.site.as_str()));
            Ok(id)
        })
    }
}

impl SavePulled {
    fn is(&self, origin: &Origin, content: &Content) -> bool {
        matches!(origin, Origin::Pulled { site, version, .. } if *site == self.site && *version == self.version)
            && content.manifest == self.content.manifest
    }

    fn fresh(&self, now: Timestamp) -> Image {
        Image {
            owner: self.owner.clone(),
            // Only public images are given.
            ..empty(&self.name, Visibility::Public, now)
        }
    }
}
