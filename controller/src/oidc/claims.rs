//! What a provider says of a person, and what follows from it here: a role, a name.

use serde_json::{Map, Value};

use super::{settings::OidcSettings, token::is_subject};
use crate::state::user::{Role, UserName};

/// Who has this claim with this value has this role, or a greater one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRule {
    /// The claim's name; where no claim has it, dots lead into objects: `realm_access.roles`.
    pub claim: String,
    /// The value that it is, or has among others.
    pub value: String,
    /// What that makes of somebody.
    pub role: Role,
}

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// What was said of somebody; `None` when it is not said of whom.
    pub(super) fn of(said: Map<String, Value>) -> Option<Self> {
        let subject = said.get("sub").and_then(Value::as_str)?;
        is_subject(subject).then_some(Self(said))
    }

    /// What the provider calls them, for good.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.0
            .get("sub")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// With what else was said of the same person; the first word counts. `None`: of somebody else.
    #[must_use]
    pub fn with(mut self, more: Self) -> Option<Self> {
        if more.subject() != self.subject() {
            return None;
        }
        // A mark is worth what it was said with.
        if self.0.contains_key("email") {
            self.0.entry("email_verified").or_insert(Value::Bool(false));
        }
        for (claim, value) in more.0 {
            self.0.entry(claim).or_insert(value);
        }
        Some(self)
    }

    /// Whether something that these settings look at was not said.
    #[must_use]
    pub fn lacks(&self, settings: &OidcSettings) -> bool {
        let email = (!settings.email_domains.is_empty()).then_some("email");
        let rules = settings.roles.iter().map(|rule| rule.claim.as_str());
        let mut wanted = rules.chain([settings.name_claim.as_str()]).chain(email);
        wanted.any(|claim| self.find(claim).is_none())
    }

    /// The greatest role that a rule gives them.
    #[must_use]
    pub fn role(&self, rules: &[RoleRule]) -> Option<Role> {
        let fits = |rule: &&RoleRule| self.find(&rule.claim).is_some_and(|v| has(v, &rule.value));
        rules.iter().filter(fits).map(|rule| rule.role).max()
    }

    /// The name by which they would be written down; `None`: it can be nobody's here.
    #[must_use]
    pub fn name(&self, claim: &str) -> Option<UserName> {
        self.find(claim)?.as_str()?.parse().ok()
    }

    /// Whether their verified address is of one of these domains; without any, it need not be.
    #[must_use]
    pub fn is_of(&self, domains: &[String]) -> bool {
        let email = self.find("email").and_then(Value::as_str);
        let domain = email.and_then(|text| text.rsplit_once('@')).map(|(_, d)| d);
        let ours = |d: &String| domain.is_some_and(|of| of.eq_ignore_ascii_case(d));
        domains.is_empty() || domains.iter().any(ours)
    }

    /// A claim. An e-mail address that the provider has not verified is whatever somebody typed, and as good as none.
    fn find(&self, claim: &str) -> Option<&Value> {
        let verified = self.0.get("email_verified");
        let verified = verified.is_some_and(|v| *v == Value::Bool(true) || v == "true");
        if claim == "email" && !verified {
            return None;
        }
        self.0.get(claim).or_else(|| {
            let (first, rest) = claim.split_once('.')?;
            let first = self.0.get(first)?;
            rest.split('.').try_fold(first, |value, key| value.get(key))
        })
    }
}

/// Whether a value is this, or has it among others.
fn has(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Array(all) => all.iter().any(|v| v == wanted),
        Value::Bool(_) | Value::Number(_) => {
            let text = value.to_string();
            text == wanted
        }
        Value::Null | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(said: &Value) -> Claims {
        let mut said = said.as_object().unwrap().clone();
        said.entry("sub").or_insert(json!("ann-1"));
        Claims::of(said).unwrap()
    }

    fn rule(claim: &str, value: &str, role: Role) -> RoleRule {
        let (claim, value) = (claim.to_owned(), value.to_owned());
        RoleRule { claim, value, role }
    }

    #[test]
    fn the_greatest_role_counts_and_whom_nothing_fits_has_none() {
        let rules = [
            rule("groups", "boot-viewers", Role::Viewer),
            rule("groups", "boot-admins", Role::Admin),
            rule("realm_access.roles", "operator", Role::Operator),
            rule("https://example.org/staff", "true", Role::Viewer),
            rule("email", "ann@example.org", Role::Operator),
        ];
        for (said, role) in [
            (json!({}), None),
            (json!({"groups": []}), None),
            (json!({"groups": "boot-admins"}), Some(Role::Admin)),
            (json!({"groups": "boot-admins-not"}), None),
            (json!({"groups": ["boot-viewers", "x"]}), Some(Role::Viewer)),
            (
                json!({"groups": ["boot-viewers", "boot-admins"]}),
                Some(Role::Admin),
            ),
            (json!({"groups": {"boot-admins": true}}), None),
            (json!({"groups": [["boot-admins"]]}), None),
            (
                json!({"realm_access": {"roles": ["operator"]}}),
                Some(Role::Operator),
            ),
            (json!({"realm_access": ["operator"]}), None),
            (
                json!({"https://example.org/staff": true}),
                Some(Role::Viewer),
            ),
            (
                json!({"email": "ann@example.org", "email_verified": true}),
                Some(Role::Operator),
            ),
            (
                json!({"email": "ann@example.org", "email_verified": false}),
                None,
            ),
            (json!({"email": "ann@example.org"}), None),
        ] {
            assert_eq!(claims(&said).role(&rules), role, "{said}");
        }
        assert_eq!(claims(&json!({"groups": "boot-admins"})).role(&[]), None);
    }

    #[test]
    fn a_name_has_to_be_one_and_an_address_of_a_domain() {
        let name = |said: &Value| claims(said).name("preferred_username");
        assert_eq!(
            name(&json!({"preferred_username": "ann"}))
                .unwrap()
                .as_str(),
            "ann"
        );
        for bad in [
            json!({}),
            json!({"preferred_username": "Ann Other"}),
            json!({"preferred_username": ["ann"]}),
        ] {
            assert!(name(&bad).is_none(), "{bad}");
        }
        let domains = ["example.org".to_owned()];
        for (email, verified, let_in) in [
            ("ann@example.org", json!(true), true),
            ("ann@EXAMPLE.org", json!("true"), true),
            ("ann@example.org", json!(false), false),
            ("ann@example.org", json!(null), false),
            ("ann@example.org.evil.lab", json!(true), false),
            ("ann@sub.example.org", json!(true), false),
            ("example.org", json!(true), false),
        ] {
            let said = claims(&json!({"email": email, "email_verified": verified}));
            assert_eq!(said.is_of(&domains), let_in, "{email} {verified}");
            assert!(said.is_of(&[]));
        }
    }

    #[test]
    fn what_is_said_elsewhere_adds_and_changes_nothing() {
        let token = claims(&json!({"groups": ["a"], "email": "typed@example.org"}));
        let more = claims(
            &json!({"groups": ["b"], "name": "Ann", "email": "x@y", "email_verified": true}),
        );
        let both = token.clone().with(more).unwrap();
        assert_eq!(both.role(&[rule("groups", "b", Role::Admin)]), None);
        assert_eq!(
            both.role(&[rule("name", "Ann", Role::Viewer)]),
            Some(Role::Viewer)
        );
        assert!(
            !both.is_of(&["example.org".to_owned()]),
            "the mark was of another address"
        );
        assert_eq!(token.with(claims(&json!({"sub": "bob-1"}))), None);
    }
}
