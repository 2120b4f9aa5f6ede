//! `enforcer certificates list`: by what the controller proves who it is, until when, and what has to be done about it.

use clap::Subcommand;

use super::{
    Session,
    client::read,
    failure::Failure,
    output::{Column, Columns, Output, dash, moment},
};
use crate::{
    http::api::certificates::{CertificateDoc, CertificateKind},
    state::Timestamp,
};

/// So long before its end people should know: the web app tells them then, too.
const SOON_S: i64 = 30 * DAY_S;
const DAY_S: i64 = 86_400;

/// What `-o wide` shows, too.
const WIDE: &[Column<CertificateDoc>] = &[
    ("NAMES", |one, _| one.names.join(",")),
    ("SHA256", |one, _| one.sha256.clone()),
];

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the site's CA and what the API's port shows, until when they are good, and the days that are left
    #[command(
        after_help = "What a person has to do about one that ends within 30 days is said below the list.\n-o wide shows for which names they are good, and the fingerprint that a browser's window shows.\n\nExamples:\n  enforcer certificates list -o wide\n  enforcer certificates list -o json | jq -r '.[] | select(.kind == \"site-ca\").pem' > ca.crt"
    )]
    List(Output),
}

/// Runs a verb.
pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    let Verb::List(output) = verb;
    let items = session.client.list("/certificates").await?;
    let headers = ["PROVES", "STATE", "ENDS", "DAYS LEFT", "SUBJECT"];
    let columns = Columns::new(headers, |one: &CertificateDoc, now| {
        [
            proves(one.kind).to_owned(),
            Standing::of(one, now).word().to_owned(),
            one.not_after.map_or_else(|| "never".to_owned(), moment),
            dash(days_left(one, now)),
            one.subject.clone(),
        ]
    });
    session.rows(&output, &items, &columns.wide(WIDE))?;
    for item in items.iter().filter(|_| output.is_words()) {
        if let Some(cure) = cure(&read(item)?, session.now) {
            eprintln!("{cure}");
        }
    }
    Ok(())
}

fn proves(kind: CertificateKind) -> &'static str {
    match kind {
        CertificateKind::SiteCa => "site-ca",
        CertificateKind::Api => "api",
    }
}

/// How a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Good,
    EndsSoon,
    Ended,
    NotYetGood,
}

impl Standing {
    fn of(one: &CertificateDoc, now: Timestamp) -> Self {
        if one.not_before > now {
            return Self::NotYetGood;
        }
        let Some(end) = one.not_after else {
            return Self::Good;
        };
        // Until it is to be renewed by itself its end is nobody's worry.
        let renews = one.renews.is_some_and(|at| now < at);
        match end.duration_since(now).as_secs() {
            ..=0 => Self::Ended,
            ..SOON_S if !renews => Self::EndsSoon,
            _ => Self::Good,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::EndsSoon => "ends-soon",
            Self::Ended => "ended",
            Self::NotYetGood => "not-yet-good",
        }
    }
}

/// Whole days until its end, below zero behind it; `None`: it does not end.
fn days_left(one: &CertificateDoc, now: Timestamp) -> Option<i64> {
    let left = one.not_after?.duration_since(now).as_secs();
    Some(left.div_euclid(DAY_S))
}

/// What a person has to do now; `None`: nothing.
fn cure(one: &CertificateDoc, now: Timestamp) -> Option<String> {
    let what = proves(one.kind);
    let cure = match (Standing::of(one, now), one.renews) {
        (Standing::Good, _) => return None,
        (Standing::NotYetGood, _) => {
            "its time has not begun: compare `date` on the controller's host with another clock"
                .to_owned()
        }
        (Standing::EndsSoon | Standing::Ended, Some(at)) => format!(
            "it was to be renewed by itself on {}: restart the controller; its log says why it was not",
            moment(at)
        ),
        (Standing::EndsSoon | Standing::Ended, None) => one.next.clone(),
    };
    Some(format!("{what}: {cure}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: &str = "put new files there";

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + days * DAY_S).unwrap()
    }

    fn port(from: i64, end: Option<i64>, renews: Option<i64>) -> CertificateDoc {
        CertificateDoc {
            kind: CertificateKind::Api,
            subject: "CN=x".to_owned(),
            issuer: "CN=y".to_owned(),
            names: Vec::new(),
            sha256: String::new(),
            not_before: at(from),
            not_after: end.map(at),
            renews: renews.map(at),
            next: NEXT.to_owned(),
            pem: String::new(),
        }
    }

    #[test]
    fn people_hear_of_an_end_a_month_before_and_of_a_renewal_only_when_it_was_missed() {
        for (one, word, left, told) in [
            (port(-1, Some(31), None), "good", Some(31), None),
            (port(-1, Some(30), None), "good", Some(30), None),
            (port(-1, Some(29), None), "ends-soon", Some(29), Some(NEXT)),
            (port(-1, Some(0), None), "ended", Some(0), Some(NEXT)),
            (port(-9, Some(-3), None), "ended", Some(-3), Some(NEXT)),
            (port(-70, Some(20), Some(1)), "good", Some(20), None),
            (
                port(-70, Some(20), Some(0)),
                "ends-soon",
                Some(20),
                Some("restart the controller"),
            ),
            (port(-70, None, None), "good", None, None),
            (
                port(1, Some(90), None),
                "not-yet-good",
                Some(90),
                Some("`date`"),
            ),
        ] {
            let now = at(0);
            assert_eq!(Standing::of(&one, now).word(), word, "{one:?}");
            assert_eq!(days_left(&one, now), left, "{one:?}");
            match (cure(&one, now), told) {
                (None, None) => {}
                (Some(cure), Some(told)) => {
                    assert!(cure.starts_with("api: ") && cure.contains(told), "{cure}");
                }
                (cure, _) => panic!("{cure:?} of {one:?}"),
            }
        }
    }
}
