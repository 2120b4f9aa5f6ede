//! Webhooks: who is told what happens, by HTTP or by mail. What became of it is in [`deliveries`].

pub mod deliveries;

use axum::{extract::State, http::StatusCode};
use mesh_proto::message::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::deliveries::{DeliveryDoc, DeliveryState, ReplayBody, ReplayedDoc};
use super::{Page, PageQuery};
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        conditional::{IfMatch, Tagged},
        error::{Code, Problem},
        extract::{JsonBody, Params, Segment, parse},
    },
    notify::sign,
    state::{
        Timestamp, View,
        notify::{Delivery, DeliveryStage, HookName, KindPattern, Target, Webhook},
        ops::{CreateWebhook, DeleteWebhook, MachineRef, TestWebhook},
        revision::Subject,
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
#[schema(as = CreateWebhook)]
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
) -> Result<Tagged<WebhookDoc>, Problem> {
    let view = api.store.view();
    let found = find(&view, &name)?;
    Ok(Tagged::new(found, WebhookDoc::of(found, &view)))
}

fn find<'a>(view: &'a View, name: &Segment) -> Result<&'a Webhook, Problem> {
    let name: HookName = name.parse("webhook")?;
    let missing = || crate::state::ops::WebhookError::NotFound(name.to_string()).into();
    view.webhook(&name).map(AsRef::as_ref).ok_or_else(missing)
}

/// Deletes a webhook, with all that waits for it.
#[utoipa::path(delete, path = "/webhooks/{webhook}", tag = "webhooks", operation_id = "webhooks_delete",
    params(("webhook" = String, Path, description = "Its name"), IfMatch),
    responses((status = 204)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
    read: IfMatch,
) -> Result<StatusCode, Problem> {
    let name: HookName = name.parse("webhook")?;
    let about = Subject::Webhook(name.clone());
    let delete = DeleteWebhook {
        name,
        by: caller.name,
    };
    read.apply(&api, about, delete).await??;
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
