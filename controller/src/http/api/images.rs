//! Images: what can be written to disks, in versions. Their bytes come and go in [`content`], as chunks in [`uploads`].

pub mod content;
pub mod uploads;

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    http::{StatusCode, request::Parts},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Page, PageQuery, words::Visibility};
use crate::{
    http::{
        Api,
        auth::Caller,
        error::{Code, Problem},
        extract::{JsonBody, Params, Segment, parse},
    },
    images::Taken,
    state::{
        Timestamp, View,
        image::{Content, Image, ImageName, ImageSpec, Origin, Version, VersionId},
        ops::{DeleteImage, DeleteVersion, ImageError, OnImage, SaveVersion, SetImage, used_by},
        user::UserName,
    },
};

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Image)]
pub struct ImageDoc {
    /// Its name; unique.
    pub name: String,
    /// Whose it is; absent: the site's.
    pub owner: Option<String>,
    /// Which machines may have it.
    pub visibility: Visibility,
    /// The number of its newest version; absent: all were deleted.
    pub latest: Option<u32>,
    /// Its versions, oldest first.
    pub versions: Vec<VersionDoc>,
    /// When its first version came.
    pub created: Timestamp,
}

/// Where a version came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", tag = "from")]
#[schema(as = Origin)]
pub enum OriginDoc {
    /// A person uploaded it.
    Upload {
        /// Who.
        by: String,
    },
    /// A machine's disk was saved.
    Capture {
        /// The machine's id.
        machine: String,
        /// The machine's name, while it is known.
        machine_name: Option<String>,
        /// By which deployment.
        deployment: u64,
    },
}

/// A version of an image; it never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ImageVersion)]
pub struct VersionDoc {
    /// Its full name, `debian@3`.
    pub id: String,
    /// Its number; numbers are not used twice.
    pub number: u32,
    /// Names its bytes: BLAKE3 of its manifest.
    pub manifest: String,
    /// Bytes of the disk.
    pub size: u64,
    /// Bytes of a sector of that disk.
    pub sector_size: u32,
    /// Bytes in a chunk.
    pub chunk_size: u32,
    /// Bytes of the disk that are not in holes.
    pub data_bytes: u64,
    /// Bytes the store had to add for it; it had the rest.
    pub new_bytes: u64,
    /// When it was complete.
    pub created: Timestamp,
    /// Where it came from.
    pub origin: OriginDoc,
    /// A person's words about it.
    pub note: Option<String>,
    /// Who needs it; as long as there is somebody, it cannot be deleted.
    pub used_by: Vec<String>,
}

impl ImageDoc {
    fn of(image: &Image, view: &View) -> Self {
        Self {
            name: image.name.to_string(),
            owner: image.owner.as_ref().map(ToString::to_string),
            visibility: image.visibility.into(),
            latest: image.latest().map(|v| v.number),
            versions: (image.versions.iter())
                .map(|v| VersionDoc::of(image, v, view))
                .collect(),
            created: image.created,
        }
    }
}

impl VersionDoc {
    fn of(image: &Image, version: &Version, view: &View) -> Self {
        let Content {
            manifest,
            size,
            sector_size,
            chunk_size,
            data_bytes,
            new_bytes,
        } = version.content;
        Self {
            id: image.id_of(version).to_string(),
            number: version.number,
            manifest: manifest.to_string(),
            size,
            sector_size,
            chunk_size,
            data_bytes,
            new_bytes,
            created: version.created,
            origin: OriginDoc::of(&version.origin, view),
            note: version.note.clone(),
            used_by: used_by(view, &image.name, Some(version.number)),
        }
    }
}

impl OriginDoc {
    fn of(origin: &Origin, view: &View) -> Self {
        match origin {
            Origin::Upload { by, .. } => Self::Upload { by: by.clone() },
            Origin::Capture { machine, job } => Self::Capture {
                machine_name: view.machine(machine).map(|m| m.name.to_string()),
                machine: machine.to_string(),
                deployment: job.0,
            },
        }
    }
}

/// A path's image and version, `/images/{name}/versions/{version}`; the version is a number or `latest`.
#[derive(Debug)]
pub(crate) struct VersionPath(ImageSpec);

impl<S: Send + Sync> FromRequestParts<S> for VersionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let wrong = |e: &dyn std::fmt::Display| {
            Problem::new(Code::BadRequest, format!("the path is wrong: {e}"))
        };
        let Path((name, version)) = path.map_err(|e| wrong(&e.body_text()))?;
        parse(&format!("{name}@{version}"), "image version").map(Self)
    }
}

impl VersionPath {
    fn find<'v>(&self, view: &'v View) -> Result<(&'v Image, &'v Version), Problem> {
        let image = find(view, &self.0.image)?;
        let missing = || {
            let (spec, name) = (&self.0, &self.0.image);
            let text =
                format!("there is no {spec}; `enforcer images show {name}` lists its versions");
            Problem::new(Code::ImageNotFound, text)
        };
        Ok((image, image.version(self.0.number).ok_or_else(missing)?))
    }
}

fn find<'v>(view: &'v View, name: &ImageName) -> Result<&'v Image, Problem> {
    let missing = || ImageError::NotFound(name.clone()).into();
    view.image(name).map(AsRef::as_ref).ok_or_else(missing)
}

/// What the caller asks for, refused when the image is somebody else's.
fn theirs<T>(image: &ImageName, caller: &Caller, wants: T) -> OnImage<T> {
    OnImage {
        image: image.clone(),
        asker: caller.asker(),
        wants,
    }
}

/// The owner that a text names; an empty one: the site.
pub(super) fn owner(text: &str) -> Result<Option<UserName>, Problem> {
    (!text.is_empty()).then(|| parse(text, "owner")).transpose()
}

/// Lists images with their versions, by name.
#[utoipa::path(get, path = "/images", tag = "images", operation_id = "images_list", params(PageQuery),
    responses((status = 200, body = Page<ImageDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<ImageDoc>>, Problem> {
    let view = api.store.view();
    page.cut(
        view.images(),
        |i| i.name.to_string(),
        |i| ImageDoc::of(i, &view),
    )
}

/// Shows an image.
#[utoipa::path(get, path = "/images/{name}", tag = "images", operation_id = "images_show",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = ImageDoc)))]
pub(crate) async fn show(State(api): State<Api>, name: Segment) -> Result<Json<ImageDoc>, Problem> {
    let (view, name) = (api.store.view(), name.parse("image")?);
    Ok(Json(ImageDoc::of(find(&view, &name)?, &view)))
}

/// What may be changed about an image; what is absent stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageChange {
    /// Which machines may have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// Whose it is; an empty text: the site's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// Changes who may have an image, or whose it is.
#[utoipa::path(patch, path = "/images/{name}", tag = "images", operation_id = "images_update", request_body = ImageChange,
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = ImageDoc)))]
pub(crate) async fn update(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
    JsonBody(body): JsonBody<ImageChange>,
) -> Result<Json<ImageDoc>, Problem> {
    let set = SetImage {
        name: name.parse("image")?,
        visibility: body.visibility.map(Into::into),
        owner: body.owner.as_deref().map(owner).transpose()?,
    };
    let image = api
        .store
        .apply(theirs(&set.name.clone(), &caller, set))
        .await???;
    Ok(Json(ImageDoc::of(&image, &api.store.view())))
}

/// Deletes an image with all its versions, unless somebody needs one of them.
#[utoipa::path(delete, path = "/images/{name}", tag = "images", operation_id = "images_delete",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 204)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
) -> Result<StatusCode, Problem> {
    let name = name.parse("image")?;
    let delete = theirs(&name, &caller, DeleteImage(name.clone()));
    api.store.apply(delete).await???;
    api.images()?.deleted();
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the versions of an image, oldest first.
#[utoipa::path(get, path = "/images/{name}/versions", tag = "images", operation_id = "image_versions_list",
    params(("name" = String, Path, description = "The image"), PageQuery),
    responses((status = 200, body = Page<VersionDoc>)))]
pub(crate) async fn versions(
    State(api): State<Api>,
    name: Segment,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<VersionDoc>>, Problem> {
    let (view, name) = (api.store.view(), name.parse("image")?);
    let image = find(&view, &name)?;
    page.cut(
        &image.versions,
        |v| format!("{:010}", v.number),
        |v| VersionDoc::of(image, v, &view),
    )
}

/// Shows a version.
#[utoipa::path(get, path = "/images/{name}/versions/{version}", tag = "images", operation_id = "image_versions_show",
    params(("name" = String, Path, description = "The image"), ("version" = String, Path, description = "A number, or `latest`")),
    responses((status = 200, body = VersionDoc)))]
pub(crate) async fn version(
    State(api): State<Api>,
    path: VersionPath,
) -> Result<Json<VersionDoc>, Problem> {
    let view = api.store.view();
    let (image, version) = path.find(&view)?;
    Ok(Json(VersionDoc::of(image, version, &view)))
}

/// Deletes a version, unless somebody needs it. What no other version has goes from the disk soon after.
#[utoipa::path(delete, path = "/images/{name}/versions/{version}", tag = "images", operation_id = "image_versions_delete",
    params(("name" = String, Path, description = "The image"), ("version" = String, Path, description = "A number, or `latest`")),
    responses((status = 204)))]
pub(crate) async fn delete_version(
    State(api): State<Api>,
    caller: Caller,
    path: VersionPath,
) -> Result<StatusCode, Problem> {
    let id = {
        let view = api.store.view();
        let (image, version) = path.find(&view)?;
        image.id_of(version)
    };
    let delete = theirs(&id.image, &caller, DeleteVersion(id.clone()));
    api.store.apply(delete).await???;
    api.images()?.deleted();
    Ok(StatusCode::NO_CONTENT)
}

/// What is said about a version that comes.
#[derive(Debug, Default)]
struct About {
    upload: Option<String>,
    visibility: Option<Visibility>,
    note: Option<String>,
}

/// Writes a version down whose bytes are in the store.
async fn save(
    api: &Api,
    name: ImageName,
    content: Content,
    about: About,
    caller: &Caller,
) -> Result<Json<VersionDoc>, Problem> {
    let save = SaveVersion {
        name: name.clone(),
        content,
        by: caller.name.clone(),
        upload: about.upload,
        owner: caller.owner(),
        visibility: about.visibility.map(Into::into),
        note: about.note,
    };
    let id: VersionId = api.store.apply(theirs(&name, caller, save)).await???;
    let view = api.store.view();
    let gone = || Problem::new(Code::ImageNotFound, format!("{id} was deleted meanwhile"));
    let image = view.image(&id.image).ok_or_else(gone)?;
    let version = image.version(Some(id.number)).ok_or_else(gone)?;
    Ok(Json(VersionDoc::of(image, version, &view)))
}

/// The same of a stream that was taken in; its bytes are kept until the version is written down.
async fn save_taken(
    api: &Api,
    name: ImageName,
    taken: Taken,
    about: About,
    caller: &Caller,
) -> Result<Json<VersionDoc>, Problem> {
    let saved = save(api, name, taken.content.clone(), about, caller).await;
    drop(taken);
    saved
}

/// What the store of images holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ImageStore)]
pub struct ImageStoreDoc {
    /// Bytes of all chunks.
    pub stored_bytes: u64,
    /// How many chunks.
    pub chunks: u64,
    /// Bytes free on its disk.
    pub free_bytes: u64,
    /// Bytes of the disk that images leave free.
    pub reserve_bytes: u64,
    /// Bytes of chunks it may hold; absent: as many as the disk has room for.
    pub quota_bytes: Option<u64>,
}

/// Shows how full the store of images is.
#[utoipa::path(get, path = "/image-store", tag = "images", operation_id = "image_store_show",
    responses((status = 200, body = ImageStoreDoc)))]
pub(crate) async fn usage(State(api): State<Api>) -> Result<Json<ImageStoreDoc>, Problem> {
    let usage = api.images()?.usage().await?;
    Ok(Json(ImageStoreDoc {
        stored_bytes: usage.stored_bytes,
        chunks: usage.chunks,
        free_bytes: usage.free_bytes,
        reserve_bytes: usage.limits.reserve_bytes,
        quota_bytes: usage.limits.quota_bytes,
    }))
}
