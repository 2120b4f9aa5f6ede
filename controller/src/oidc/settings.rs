//! What a person says of the identity provider: `[oidc]` of the configuration.

use std::path::PathBuf;

use super::claims::RoleRule;

/// Where people sign in, and what becomes of who did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcSettings {
    /// What the button says behind "Sign in with" (`name`).
    pub name: String,
    /// The provider, exactly as it names itself (`issuer`).
    pub issuer: String,
    /// What it calls us (`client_id`).
    pub client_id: String,
    /// The file with what shows that we are (`client_secret_file`); read at each sign-in, so that a new one needs no restart.
    /// `None`: PKCE alone.
    pub client_secret_file: Option<PathBuf>,
    /// The CA that speaks for it (`ca_file`); `None`: this host's.
    pub ca_file: Option<PathBuf>,
    /// The API's port as people's browsers reach it, an origin (`public_url`).
    pub public_url: String,
    /// What is asked for (`scopes`); `openid` among them.
    pub scopes: Vec<String>,
    /// The claim that new people are named by (`name_claim`).
    pub name_claim: String,
    /// Who may what (`[[oidc.roles]]`); whom none fits is not let in.
    pub roles: Vec<RoleRule>,
    /// Whether somebody who is not known here, and has a role, is made a user (`create_users`).
    pub create_users: bool,
    /// Domains that verified e-mail addresses have to be of (`email_domains`); empty: any, and none.
    pub email_domains: Vec<String>,
    /// Whether passwords open the door beside it (`passwords`).
    pub passwords: bool,
}

/// Where the provider sends browsers back to.
const CALLBACK: &str = "/api/v1/oidc/callback";
/// Where browsers begin.
const LOGIN: &str = "/api/v1/oidc/login";

impl OidcSettings {
    /// The address that the provider has to know as ours.
    #[must_use]
    pub fn redirect_uri(&self) -> String {
        format!("{}{CALLBACK}", self.public_url)
    }

    /// The address that a browser begins at.
    #[must_use]
    pub fn login_url(&self) -> String {
        format!("{}{LOGIN}", self.public_url)
    }
}

/// Whether a text is the address of something that is asked with secrets: `https://`, or `http://` on this very host.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let Some(uri) = text.parse::<hyper::Uri>().ok() else {
        return false;
    };
    let plain = text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains(['#', '"', '<', '\\']);
    let authority = uri.authority().map_or("", |a| a.as_str());
    let scheme = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => is_loopback(uri.host().unwrap_or_default()),
        _ => false,
    };
    scheme && plain && !authority.is_empty() && !authority.contains('@')
}

/// Whether a text is a provider's own name: an address without a query (OpenID Connect Discovery §3).
#[must_use]
pub fn is_issuer(text: &str) -> bool {
    is_address(text) && !text.contains('?')
}

/// Whether it is on this host: what is plain then is still not on a wire.
pub(super) fn is_local(address: &str) -> bool {
    let uri = address.parse::<hyper::Uri>().ok();
    uri.is_some_and(|uri| is_loopback(uri.host().unwrap_or_default()))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    host == "localhost"
        || bare
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_over_tls_or_stay_on_this_host() {
        for good in [
            "https://sso.example.org",
            "https://sso.example.org:8443/realms/lab",
            "http://127.0.0.1:9000/",
            "http://[::1]:9000",
            "http://localhost:9000/application/o/enforcer/",
        ] {
            assert!(is_issuer(good), "{good}");
        }
        for bad in [
            "",
            "sso.example.org",
            "http://sso.example.org",
            "http://127.0.0.1.example.org",
            "http://localhost.example.org",
            "https://user@sso.example.org",
            "https://sso.example.org/#a",
            "https://sso.example.org/?a=b",
            "https://sso.example.org/\"x",
            "https://",
            "file:///etc/passwd",
            "/realms/lab",
            "https://sso.example.org/ü",
        ] {
            assert!(!is_issuer(bad), "{bad}");
        }
        assert!(is_address("https://sso.example.org/auth?tenant=1"));
    }
}
