//! Webhooks: who is told what happens, by HTTP or by mail, and what became of it.

use axum::{Json, extract::State, http::StatusCode};
use mesh_proto::message::Secret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Page, PageQuery, by_number};
use crate::{
    http::{
        Api,
        auth::Caller,
        error::{Code, Problem},
        extract::{JsonBody, Params, Segment, parse},
    },
    notify::sign,
    state::{
        Timestamp, View,
        notify::{Delivery, DeliveryId, DeliveryStage, HookName, KindPattern, Target, Webhook},
        ops::{CreateWebhook, DeleteWebhook, MachineRef, Replay, TestWebhook},
    },
};

/// What one is told when nobody says otherwise: how a person's job ended.
const USUAL_KINDS: [&str; 2] = ["deployment.online", "deployment.failed"];

/// A webhook or mail subscription. Its secret is not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Webhook)]
pub struct WebhookDoc {
    /// Its name.
    pub name: String,
    /// The URL that is sent a POST.
    pub url: Option<String>,
    /// The address that is sent a mail.
    pub mail: Option<String>,
    /// The events it is told of.
    pub kinds: Vec<String>,
    /// Only events of this machine; absent: of any.
    pub machine: Option<String>,
    /// Who made it.
    pub by: String,
    /// When.
    pub created: Timestamp,
    /// Deliveries that wait.
    pub waiting: usize,
    /// Dead letters: given up, until somebody replays them.
    pub dead: usize,
    /// Dead letters and events that were dropped because there were too many.
    pub lost: u64,
    /// What the newest attempt brought.
    pub last: Option<String>,
}

impl WebhookDoc {
    fn of(webhook: &Webhook, view: &View) -> Self {
        let (url, mail) = match &webhook.target {
            Target::Http { url, .. } => (Some(url.to_string()), None),
            Target::Mail { address } => (None, Some(address.to_string())),
        };
        let all = || view.deliveries_of(&webhook.name);
        let is_dead = |d: &Delivery| matches!(d.stage, DeliveryStage::Dead { .. });
        Self {
            name: webhook.name.to_string(),
            url,
            mail,
            kinds: webhook.kinds.iter().map(ToString::to_string).collect(),
            machine: webhook.machine.as_ref().map(|id| view.machine_name(id)),
            by: webhook.by.clone(),
            created: webhook.created,
            waiting: all().filter(|d| d.due().is_some()).count(),
            dead: all().filter(|d| is_dead(d)).count(),
            lost: webhook.lost,
            last: all().rev().find_map(|d| d.last.clone()),
        }
    }
}

/// A webhook to make.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    /// Its name: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// The URL to send a POST to; this or `mail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The address to mail to; this or `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
    /// Which events: kinds, families (`deployment.*`), or `*`; how deployments end when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// Only events of this machine: name, id or MAC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The key of the signatures, `whsec_` and base64; one is made when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl CreateBody {
    fn target(&self) -> Result<Target, Problem> {
        match (&self.url, &self.mail) {
            (Some(url), None) => Ok(Target::Http {
                url: parse(url, "url")?,
                secret: self.signing_secret()?,
            }),
            (None, Some(address)) if self.secret.is_none() => Ok(Target::Mail {
                address: parse(address, "mail")?,
            }),
            _ => {
                let text = "give either url (and a secret, if you have one) or mail";
                Err(Problem::new(Code::BadValue, text))
            }
        }
    }

    fn signing_secret(&self) -> Result<Secret, Problem> {
        let given = self.secret.as_ref().map(Secret::new);
        let secret = given.unwrap_or_else(|| sign::fresh(rand::random()));
        let wrong = |e| Problem::new(Code::BadValue, format!("secret: {e}"));
        sign::key(&secret).map_err(wrong)?;
        Ok(secret)
    }

    fn kinds(&self) -> Result<Vec<KindPattern>, Problem> {
        let usual = || USUAL_KINDS.map(str::to_owned).to_vec();
        let named = Some(self.kinds.clone()).filter(|k| !k.is_empty());
        let kinds = named.unwrap_or_else(usual);
        kinds.iter().map(|kind| parse(kind, "kinds")).collect()
    }
}

/// A webhook that was just made: its secret is shown here and never again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CreatedWebhook)]
pub struct CreatedDoc {
    /// The key of the signatures; absent for mail.
    pub secret: Option<String>,
    /// What is kept of it.
    pub webhook: WebhookDoc,
}

/// Makes a webhook or mail subscription: it is told of what happens from now on. The secret is in this answer only.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", operation_id = "webhooks_create", request_body = CreateBody,
    responses((status = 201, body = CreatedDoc)))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    JsonBody(body): JsonBody<CreateBody>,
) -> Result<(StatusCode, Json<CreatedDoc>), Problem> {
    let create = CreateWebhook {
        name: parse(&body.name, "name")?,
        target: body.target()?,
        kinds: body.kinds()?,
        machine: body.machine.map(MachineRef),
        by: caller.name,
    };
    let made = api.store.apply(create).await??;
    let secret = match &made.target {
        Target::Http { secret, .. } => Some(secret.expose().to_owned()),
        Target::Mail { .. } => None,
    };
    let webhook = WebhookDoc::of(&made, &api.store.view());
    Ok((StatusCode::CREATED, Json(CreatedDoc { secret, webhook })))
}

/// Lists webhooks.
#[utoipa::path(get, path = "/webhooks", tag = "webhooks", operation_id = "webhooks_list", params(PageQuery),
    responses((status = 200, body = Page<WebhookDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<WebhookDoc>>, Problem> {
    let view = api.store.view();
    page.cut(
        view.webhooks(),
        |w| w.name.to_string(),
        |w| WebhookDoc::of(w, &view),
    )
}

/// Shows a webhook.
#[utoipa::path(get, path = "/webhooks/{webhook}", tag = "webhooks", operation_id = "webhooks_show",
    params(("webhook" = String, Path, description = "Its name")),
    responses((status = 200, body = WebhookDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    name: Segment,
) -> Result<Json<WebhookDoc>, Problem> {
    let view = api.store.view();
    let found = find(&view, &name)?;
    Ok(Json(WebhookDoc::of(found, &view)))
}

fn find<'a>(view: &'a View, name: &Segment) -> Result<&'a Webhook, Problem> {
    let name: HookName = name.parse("webhook")?;
    let missing = || crate::state::ops::WebhookError::NotFound(name.to_string()).into();
    view.webhook(&name).map(AsRef::as_ref).ok_or_else(missing)
}

/// Deletes a webhook, with all that waits for it.
#[utoipa::path(delete, path = "/webhooks/{webhook}", tag = "webhooks", operation_id = "webhooks_delete",
    params(("webhook" = String, Path, description = "Its name")),
    responses((status = 204)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
) -> Result<StatusCode, Problem> {
    let delete = DeleteWebhook {
        name: name.parse("webhook")?,
        by: caller.name,
    };
    api.store.apply(delete).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// A test that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookTest)]
pub struct TestDoc {
    /// The number of the event that is sent; its delivery says how it went.
    pub event: u64,
}

/// Sends a test to this webhook only, on the way that everything takes.
#[utoipa::path(post, path = "/webhooks/{webhook}/test", tag = "webhooks", operation_id = "webhooks_test",
    params(("webhook" = String, Path, description = "Its name")),
    responses((status = 202, body = TestDoc)))]
pub(crate) async fn test(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
) -> Result<(StatusCode, Json<TestDoc>), Problem> {
    let test = TestWebhook {
        name: name.parse("webhook")?,
        by: caller.name,
    };
    let event = api.store.apply(test).await??;
    Ok((StatusCode::ACCEPTED, Json(TestDoc { event })))
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// To be sent, or sent again.
    Waiting,
    /// The receiver said that it has it.
    Delivered,
    /// Given up.
    Dead,
}

impl DeliveryState {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

/// A notification on its way, or at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Delivery)]
pub struct DeliveryDoc {
    /// Its number.
    pub id: u64,
    /// The id that the receiver knows it by: the same at each attempt.
    pub message_id: String,
    /// The event's number.
    pub event: u64,
    /// The event's kind.
    pub kind: String,
    /// The event's sentence.
    pub text: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried since it was queued or replayed.
    pub attempts: u32,
    /// When it was queued or replayed.
    pub since: Timestamp,
    /// When it is tried next.
    pub next: Option<Timestamp>,
    /// What the last attempt brought.
    pub last: Option<String>,
}

impl DeliveryDoc {
    fn of(delivery: &Delivery) -> Self {
        Self {
            id: delivery.id.0,
            message_id: delivery.message_id(),
            event: delivery.event.seq,
            kind: delivery.event.draft.kind.clone(),
            text: delivery.event.draft.text.clone(),
            state: match delivery.stage {
                DeliveryStage::Waiting { .. } => DeliveryState::Waiting,
                DeliveryStage::Delivered { .. } => DeliveryState::Delivered,
                DeliveryStage::Dead { .. } => DeliveryState::Dead,
            },
            attempts: delivery.attempts,
            since: delivery.since,
            next: delivery.due(),
            last: delivery.last.clone(),
        }
    }
}

/// Which deliveries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveriesQuery {
    /// Only those that stand so.
    #[serde(default)]
    state: Option<DeliveryState>,
    /// Entries wanted, 1 to 1000.
    #[serde(default)]
    limit: Option<usize>,
    /// `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
}

/// Lists what is kept of a webhook's deliveries, oldest first; the dead ones are its dead letters.
#[utoipa::path(get, path = "/webhooks/{webhook}/deliveries", tag = "webhooks", operation_id = "webhooks_deliveries",
    params(DeliveriesQuery, ("webhook" = String, Path, description = "Its name")),
    responses((status = 200, body = Page<DeliveryDoc>)))]
pub(crate) async fn deliveries(
    State(api): State<Api>,
    name: Segment,
    Params(query): Params<DeliveriesQuery>,
) -> Result<Json<Page<DeliveryDoc>>, Problem> {
    let view = api.store.view();
    let found = find(&view, &name)?;
    let page = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    };
    let all = view.deliveries_of(&found.name).map(|d| DeliveryDoc::of(d));
    page.cut(
        all.filter(|d| query.state.is_none_or(|s| s == d.state)),
        |d| by_number(d.id),
        |d| d,
    )
}

/// What to send again.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayBody {
    /// One delivery, whatever became of it; all dead ones when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<u64>,
}

/// What is sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Replayed)]
pub struct ReplayedDoc {
    /// How many deliveries.
    pub replayed: usize,
}

/// Sends dead letters again, under the ids they had.
#[utoipa::path(post, path = "/webhooks/{webhook}/replay", tag = "webhooks", operation_id = "webhooks_replay", request_body = ReplayBody,
    params(("webhook" = String, Path, description = "Its name")),
    responses((status = 202, body = ReplayedDoc)))]
pub(crate) async fn replay(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
    JsonBody(body): JsonBody<ReplayBody>,
) -> Result<(StatusCode, Json<ReplayedDoc>), Problem> {
    let replay = Replay {
        name: name.parse("webhook")?,
        id: body.delivery.map(DeliveryId),
        by: caller.name,
    };
    let replayed = api.store.apply(replay).await??;
    Ok((StatusCode::ACCEPTED, Json(ReplayedDoc { replayed })))
}
