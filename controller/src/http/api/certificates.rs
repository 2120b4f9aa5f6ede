//! Certificates by which this controller proves who it is: the site's CA, and what the API's port shows.

use std::convert::identity;

use axum::extract::State;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use mesh_net::keys::certificate_der;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Page, PageQuery};
use crate::{
    ca::Reading,
    http::{
        Api,
        answer::Json,
        error::Problem,
        extract::Params,
        network::{Presented, RENEWED_BEFORE_END_S},
    },
    state::Timestamp,
};

/// What a certificate proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateKind {
    /// The site's CA: agents, other sites, and browsers that were told of it believe what it signs.
    SiteCa,
    /// The API's port.
    Api,
}

impl CertificateKind {
    /// Where it stands in the list.
    fn place(self) -> &'static str {
        match self {
            Self::SiteCa => "1",
            Self::Api => "2",
        }
    }
}

/// A certificate of this controller. Its key is not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Certificate)]
pub struct CertificateDoc {
    /// What it proves.
    pub kind: CertificateKind,
    /// Whose it is.
    #[schema(example = "CN=Enforcer home")]
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Hosts' names and addresses that it is good for.
    pub names: Vec<String>,
    /// SHA-256 of its DER, 64 hex digits: what `--fingerprint` and a browser's window compare.
    pub sha256: String,
    /// Good from.
    pub not_before: Timestamp,
    /// Good until; absent: it does not end.
    pub not_after: Option<Timestamp>,
    /// When it is renewed by itself; absent: it is not.
    pub renews: Option<Timestamp>,
    /// What is to be done, and by when.
    pub next: String,
    /// The certificate itself, PEM.
    pub pem: String,
}

impl CertificateDoc {
    /// `None` for what cannot be read; nothing that was served is so.
    fn of(kind: CertificateKind, der: &[u8], by_site: bool) -> Option<Self> {
        let read = Reading::of(der)?;
        // The CA's end, the year 9999, is later than any moment that a program here can name.
        let not_after = Timestamp::from_second(read.not_after).ok();
        let renews = read.not_after - RENEWED_BEFORE_END_S;
        let renews = Timestamp::from_second(renews).ok();
        Some(Self {
            kind,
            next: next(kind, by_site).to_owned(),
            subject: read.subject,
            issuer: read.issuer,
            names: read.names,
            sha256: read.sha256,
            not_before: Timestamp::from_second(read.not_before).ok()?,
            not_after,
            renews: renews.filter(|_| by_site && kind == CertificateKind::Api),
            pem: pem(der),
        })
    }
}

/// What people do about it.
fn next(kind: CertificateKind, by_site: bool) -> &'static str {
    match (kind, by_site) {
        (CertificateKind::SiteCa, _) => {
            "it does not end; keep its key, `ca/` in the state folder, in a backup: without it every agent joins anew"
        }
        (CertificateKind::Api, true) => {
            "it is renewed by itself, and at each start; a browser that trusts the site's CA takes it without a question"
        }
        (CertificateKind::Api, false) => {
            "it comes from `api.cert_file` and `api.key_file`: put new files there before it ends; they are read again within ten seconds"
        }
    }
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines: Vec<_> = lines.collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

/// Lists the certificates by which this controller proves who it is: the site's CA where the mesh is on, and what the API's port shows where
/// it speaks TLS.
#[utoipa::path(get, path = "/certificates", tag = "meta", operation_id = "certificates_list", params(PageQuery),
    responses((status = 200, body = Page<CertificateDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<CertificateDoc>>, Problem> {
    let ca = api.mesh().ok();
    let ca = ca.and_then(|mesh| certificate_der(mesh.ca().pem()).ok());
    let ca = ca.and_then(|der| CertificateDoc::of(CertificateKind::SiteCa, &der, true));
    let port = api.presented.as_ref().and_then(of_port);
    page.cut(
        ca.into_iter().chain(port),
        |c| c.kind.place().to_owned(),
        identity,
    )
}

fn of_port(shown: &Presented) -> Option<CertificateDoc> {
    CertificateDoc::of(CertificateKind::Api, &shown.leaf(), shown.is_by_site())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_is_what_others_read() {
        let made = rcgen::generate_simple_self_signed(["boot.example".to_owned()]).unwrap();
        let text = pem(made.cert.der());
        assert_eq!(
            certificate_der(&text).unwrap().as_ref(),
            made.cert.der().as_ref()
        );
        assert!(text.lines().all(|line| line.len() <= 64), "{text}");
    }
}
