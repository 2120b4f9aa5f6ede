//! Versions of images: which one a path names, listing, deleting, and writing down one whose bytes are here.

use axum::{
    extract::{FromRequestParts, Path, State},
    http::{StatusCode, request::Parts},
};

use super::{VersionDoc, find, theirs};
use crate::{
    http::{
        Api,
        answer::Json,
        api::{Page, PageQuery, words::Visibility},
        auth::Caller,
        error::{Code, Problem},
        extract::{Params, Segment, parse},
    },
    images::Taken,
    state::{
        View,
        image::{Content, Image, ImageName, ImageSpec, Version, VersionId},
        ops::{DeleteVersion, SaveVersion},
    },
};

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
    pub(super) fn find<'v>(&self, view: &'v View) -> Result<(&'v Image, &'v Version), Problem> {
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

/// Lists the versions of an image, oldest first.
#[utoipa::path(get, path = "/images/{name}/versions", tag = "images", operation_id = "image_versions_list",
    params(("name" = String, Path, description = "The image"), PageQuery),
    responses((status = 200, body = Page<VersionDoc>)))]
pub(crate) async fn list(
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
pub(crate) async fn show(
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
pub(crate) async fn delete(
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
pub(super) struct About {
    pub(super) upload: Option<String>,
    pub(super) visibility: Option<Visibility>,
    pub(super) note: Option<String>,
}

/// Writes a version down whose bytes are in the store.
pub(super) async fn save(
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
pub(super) async fn save_taken(
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
