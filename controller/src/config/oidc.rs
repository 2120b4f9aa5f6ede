//! The section `[oidc]`: the identity provider that people sign in at.

use toml::Table;

use super::{
    Mistake,
    section::Section,
    values::{origin, word},
};
use crate::{
    oidc::{
        OidcSettings, RoleRule,
        settings::{is_address, is_issuer},
    },
    state::user::Role,
};

/// Rules beyond this are a mistake in a loop that wrote the file.
const MAX_ROLES: usize = 256;
/// What the button says when nobody says otherwise.
const NAME: &str = "single sign-on";
/// Longest text, characters.
const MAX_TEXT: usize = 200;

/// Reads the section; `None` when it is not there, or wrong. `has_port`: whether the API is on the network.
pub(super) fn read(
    table: Table,
    has_port: bool,
    mistakes: &mut Vec<Mistake>,
) -> Option<OidcSettings> {
    if table.is_empty() {
        return None;
    }
    let mut section = Section::new("oidc", table, mistakes);
    if !has_port {
        let problem = "people sign in over the network: give the API a port there, `[api] listen`";
        section.mistake("public_url", problem.to_owned());
    }
    let issuer = section.take_text("issuer", issuer);
    let client_id = section.take_text("client_id", plain);
    let public_url = section.take_text("public_url", public_url);
    if issuer.is_none() || client_id.is_none() || public_url.is_none() {
        let problem = "an identity provider needs `issuer`, `client_id` and `public_url`";
        section.mistake("issuer", problem.to_owned());
    }
    let name = section.take_text("name", plain);
    let client_secret_file = section.take("client_secret_file");
    let ca_file = section.take("ca_file");
    let scopes = section.take_list("scopes", scope);
    let name_claim = section.take_text("name_claim", plain);
    let create_users = section.take("create_users").unwrap_or(true);
    let email_domains = section.take_list("email_domains", domain);
    let passwords = section.take("passwords").unwrap_or(true);
    let rules: Vec<Table> = section.take("roles").unwrap_or_default();
    if rules.is_empty() || rules.len() > MAX_ROLES {
        let problem = format!(
            "write who may what, 1 to {MAX_ROLES} times `[[oidc.roles]]` with `claim`, `value` and `role`; without any nobody is let in"
        );
        section.mistake("roles", problem);
    }
    let scopes = scopes.unwrap_or_else(|| ["openid", "profile", "email"].map(str::to_owned).into());
    if !scopes.iter().any(|scope| scope == "openid") {
        let problem = "`openid` has to be among them".to_owned();
        section.mistake("scopes", problem);
    }
    section.finish();
    let roles = rules.into_iter().enumerate();
    let roles = roles.filter_map(|(at, table)| rule(at, table, mistakes));
    let roles = roles.collect();
    Some(OidcSettings {
        name: name.unwrap_or_else(|| NAME.to_owned()),
        issuer: issuer?,
        client_id: client_id?,
        client_secret_file,
        ca_file,
        public_url: public_url?,
        scopes,
        name_claim: name_claim.unwrap_or_else(|| "preferred_username".to_owned()),
        roles,
        create_users,
        email_domains: email_domains.unwrap_or_default(),
        passwords,
    })
}

fn rule(at: usize, table: Table, mistakes: &mut Vec<Mistake>) -> Option<RoleRule> {
    let mut section = Section::new(&format!("oidc.roles[{at}]"), table, mistakes);
    let claim = section.take_text("claim", plain);
    let value = section.take_text("value", plain);
    let roles = Role::ALL.map(|role| (role.name(), role));
    let role = section.take_text("role", |text| word(text, &roles));
    if claim.is_none() || value.is_none() || role.is_none() {
        let problem = "a rule needs `claim`, `value` and `role`".to_owned();
        section.mistake("claim", problem);
    }
    section.finish();
    Some(RoleRule {
        claim: claim?,
        value: value?,
        role: role?,
    })
}

fn issuer(text: &str) -> Result<String, String> {
    let wrong = || {
        format!(
            "'{text}' is no provider's address; write it exactly as the provider names itself, such as https://sso.example.org/realms/lab"
        )
    };
    is_issuer(text).then(|| text.to_owned()).ok_or_else(wrong)
}

fn public_url(text: &str) -> Result<String, String> {
    let told = origin(text)?;
    let wrong = || {
        format!(
            "'{text}' is not secure: a browser's session goes over it; write https://, as people's browsers reach the API's port"
        )
    };
    is_address(&told).then_some(told).ok_or_else(wrong)
}

fn scope(text: &str) -> Result<String, String> {
    // RFC 6749 §3.3.
    let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    let good = !text.is_empty() && text.len() <= MAX_TEXT && text.bytes().all(plain);
    let wrong = || format!("'{text}' is no scope; write one word for each, such as \"groups\"");
    good.then(|| text.to_owned()).ok_or_else(wrong)
}

fn domain(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let good = !text.is_empty() && text.chars().all(plain);
    let wrong = || format!("'{text}' is no domain; write it like example.org");
    good.then(|| text.to_owned()).ok_or_else(wrong)
}

fn plain(text: &str) -> Result<String, String> {
    let good =
        (1..=MAX_TEXT).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    let wrong = || format!("write 1 to {MAX_TEXT} characters on one line");
    good.then(|| text.to_owned()).ok_or_else(wrong)
}
