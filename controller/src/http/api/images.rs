//! Images: what can be written to disks, in [`versions`]. Their bytes come and go in [`content`], as chunks in [`uploads`].

pub mod content;
mod document;
pub mod uploads;
pub mod usage;
pub mod versions;

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::document::{ImageDoc, OriginDoc, VersionDoc};
use super::{Page, PageQuery, words::Visibility};
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        conditional::{IfMatch, Tagged},
        error::Problem,
        extract::{JsonBody, Params, Segment, parse},
    },
    state::{
        View,
        image::{Image, ImageName},
        ops::{DeleteImage, ImageError, OnImage, SetImage},
        revision::Subject,
        user::UserName,
    },
};

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
pub(crate) async fn show(
    State(api): State<Api>,
    name: Segment,
) -> Result<Tagged<ImageDoc>, Problem> {
    let (view, name) = (api.store.view(), name.parse("image")?);
    let found = find(&view, &name)?;
    Ok(Tagged::new(found, ImageDoc::of(found, &view)))
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
    params(("name" = String, Path, description = "Its name"), IfMatch),
    responses((status = 200, body = ImageDoc)))]
pub(crate) async fn update(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
    read: IfMatch,
    JsonBody(body): JsonBody<ImageChange>,
) -> Result<Tagged<ImageDoc>, Problem> {
    let set = SetImage {
        name: name.parse("image")?,
        visibility: body.visibility.map(Into::into),
        owner: body.owner.as_deref().map(owner).transpose()?,
    };
    let about = Subject::Image(set.name.clone());
    let asked = theirs(&set.name.clone(), &caller, set);
    let image = read.apply(&api, about, asked).await???;
    let document = ImageDoc::of(&image, &api.store.view());
    Ok(Tagged::new(&image, document))
}

/// Deletes an image with all its versions, unless somebody needs one of them.
#[utoipa::path(delete, path = "/images/{name}", tag = "images", operation_id = "images_delete",
    params(("name" = String, Path, description = "Its name"), IfMatch),
    responses((status = 204)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
    read: IfMatch,
) -> Result<StatusCode, Problem> {
    let name: ImageName = name.parse("image")?;
    let delete = theirs(&name, &caller, DeleteImage(name.clone()));
    read.apply(&api, Subject::Image(name), delete).await???;
    api.images()?.deleted();
    Ok(StatusCode::NO_CONTENT)
}
