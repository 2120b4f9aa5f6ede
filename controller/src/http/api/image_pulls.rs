//! Images on their way here from other sites: begun, listed, looked at, cancelled. What has come is a version of an image.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Page, PageQuery, page::by_number};
use crate::{
    federation::{Federation, Pull, PullError, PullState, Wanted},
    http::{
        Api,
        answer::Json,
        auth::Caller,
        error::{Code, Problem, ProblemDoc},
        extract::{JsonBody, Params, Segment, parse},
    },
    state::{Timestamp, image::ImageSpec, number::PullId, ops::PeerError, peer::SiteName},
};

/// An image to bring here.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PullBody {
    /// The other site.
    pub site: String,
    /// Its image: `NAME`, `NAME@latest` or `NAME@NUMBER`.
    pub image: String,
    /// What it is called here; absent: as there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Where a pull stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PullWord {
    /// Others are before it.
    Waiting,
    /// Bytes come.
    Running,
    /// It is a version here.
    Done,
    /// It is not here; asked for again it goes on.
    Failed,
}

impl PullWord {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// An image on its way here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ImagePull)]
pub struct PullDoc {
    /// Its number; begins anew when the controller does.
    pub id: u64,
    /// Where it comes from.
    pub site: String,
    /// What was asked for there.
    pub image: String,
    /// The version there, once that is known.
    pub version: Option<u32>,
    /// What it is called here.
    pub name: String,
    /// Where it stands.
    pub state: PullWord,
    /// Chunks of it that are here.
    pub chunks_here: u64,
    /// Chunks that it has; 0: not known yet.
    pub chunks: u64,
    /// Bytes that the store had to add for it, compressed; it had the rest.
    pub new_bytes: u64,
    /// The version it is here.
    pub saved: Option<String>,
    /// Why it is not here.
    #[schema(value_type = Option<ProblemDoc>)]
    pub problem: Option<ProblemDoc>,
    /// Since when it is asked for.
    pub since: Timestamp,
}

impl PullDoc {
    fn of(pull: &Pull) -> Self {
        let (mut saved, mut problem) = (None, None);
        let state = match &pull.state {
            PullState::Waiting => PullWord::Waiting,
            PullState::Running => PullWord::Running,
            PullState::Done(id) => {
                saved = Some(id.to_string());
                PullWord::Done
            }
            PullState::Failed(error) => {
                problem = Some(Problem::from(error.as_ref()).doc());
                PullWord::Failed
            }
        };
        Self {
            id: pull.id.0,
            site: pull.wanted.site.to_string(),
            image: pull.wanted.image.to_string(),
            version: pull.version,
            name: pull.wanted.name.to_string(),
            state,
            chunks_here: pull.chunks.0,
            chunks: pull.chunks.1,
            new_bytes: pull.new_bytes,
            saved,
            problem,
            since: pull.since,
        }
    }
}

impl From<&PullError> for Problem {
    fn from(error: &PullError) -> Self {
        let code = match error {
            PullError::Site { .. } => Code::PeerRefused,
            PullError::Images(error) => return error.into(),
            PullError::Image(error) => return error.clone().into(),
            PullError::NotYours(error) => return error.clone().into(),
            PullError::Store(_) => Code::StoreUnavailable,
            PullError::Cancelled => Code::NotActive,
            PullError::Busy => Code::TooManyUploads,
        };
        Self::new(code, error.to_string())
    }
}

fn federation(api: &Api) -> Result<&Federation, Problem> {
    Ok(api.mesh()?.federation())
}

/// Begins to bring a version of another site's image here: its manifest, and the chunks that are missing. Answers at once;
/// who asks for what is on its way is told of that.
#[utoipa::path(post, path = "/image-pulls", tag = "images", operation_id = "image_pulls_create", request_body = PullBody,
    responses((status = 202, body = PullDoc)))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    JsonBody(body): JsonBody<PullBody>,
) -> Result<(StatusCode, Json<PullDoc>), Problem> {
    let image: ImageSpec = parse(&body.image, "image")?;
    let name = body.name.map(|n| parse(&n, "name")).transpose()?;
    let site: SiteName = parse(&body.site, "site")?;
    api.images()?;
    if !federation(&api)?.is_joined(&site) {
        return Err(PeerError::NotFound(site.to_string()).into());
    }
    let wanted = Wanted {
        site,
        name: name.unwrap_or_else(|| image.image.clone()),
        image,
        asker: caller.asker(),
        owner: caller.owner(),
    };
    let pull = federation(&api)?
        .pull(wanted)
        .map_err(|e| Problem::from(&e))?;
    Ok((StatusCode::ACCEPTED, Json(PullDoc::of(&pull))))
}

/// Lists images on their way here, and the last that came or did not.
#[utoipa::path(get, path = "/image-pulls", tag = "images", operation_id = "image_pulls_list", params(PageQuery),
    responses((status = 200, body = Page<PullDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<PullDoc>>, Problem> {
    let pulls = federation(&api)?.pulls();
    page.cut(pulls, |p| by_number(p.id.0), |p| PullDoc::of(&p))
}

fn missing(id: PullId) -> Problem {
    let text = format!("there is no pull {id}; the controller may have begun anew since");
    Problem::new(Code::PullNotFound, text)
}

/// Shows how far one is.
#[utoipa::path(get, path = "/image-pulls/{id}", tag = "images", operation_id = "image_pulls_show",
    params(("id" = u64, Path, description = "Its number")),
    responses((status = 200, body = PullDoc)))]
pub(crate) async fn show(State(api): State<Api>, id: Segment) -> Result<Json<PullDoc>, Problem> {
    let id: PullId = id.parse("pull")?;
    let pulls = federation(&api)?.pulls();
    let pull = pulls.iter().find(|p| p.id == id);
    pull.map(|p| Json(PullDoc::of(p)))
        .ok_or_else(|| missing(id))
}

/// Ends one that is under way. What has come stays for two hours, should it be asked for again.
#[utoipa::path(post, path = "/image-pulls/{id}/cancel", tag = "images", operation_id = "image_pulls_cancel",
    params(("id" = u64, Path, description = "Its number")),
    responses((status = 204)))]
pub(crate) async fn cancel(State(api): State<Api>, id: Segment) -> Result<StatusCode, Problem> {
    let id: PullId = id.parse("pull")?;
    match federation(&api)?.cancel_pull(id) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(id)),
    }
}
