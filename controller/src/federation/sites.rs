//! What other sites show to our people: machines, asked of all at once and within one deadline, and events, as long as
//! somebody looks on. What comes is parsed into our types; a site that is late, dead or talks nonsense is named with its reason.

use std::time::Duration;

use futures_util::future::join_all;
use mesh_net::{CallError, PeerReplies};
use mesh_proto::message::peer::{PeerAsk, PeerReply};

use super::{Federation, Inner, counts::Rejected, lookup::DEADLINE, question::plain};
use crate::state::{
    peer::SiteName,
    shown::heard::{self, HeardEvent, SeenMachine},
};

/// Silence of a subscription that is believed: three signs of life.
const SILENCE: Duration = Duration::from_secs(30);

/// What one site shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteRows {
    /// Which site.
    pub site: SiteName,
    /// Its machines by name, and whether it has more; or why it shows none, in words.
    pub shown: Result<(Vec<SeenMachine>, bool), String>,
}

/// A part of a list: only names behind the first, at most so many.
pub type Part<'a> = (Option<&'a str>, usize);

/// Somebody looks on at what happens at another site.
#[derive(Debug)]
pub struct Watched {
    federation: Federation,
    site: SiteName,
    replies: PeerReplies,
    first: Option<PeerReply>,
    seen: Option<u64>,
}

/// What was heard since the last time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The events, the oldest first; none: a sign of life.
    pub events: Vec<HeardEvent>,
    /// Where to go on.
    pub seen: u64,
    /// Events in between are gone there.
    pub lost: bool,
}

impl Federation {
    /// Our own site's name.
    #[must_use]
    pub fn own_site(&self) -> &SiteName {
        &self.0.site
    }

    /// Whether the site is a peer that counts.
    #[must_use]
    pub fn is_joined(&self, site: &SiteName) -> bool {
        self.0.is_joined(site)
    }

    /// The machines that these sites show, each asked for a part of its list.
    pub async fn machines_at(&self, asked: Vec<(SiteName, Part<'_>)>) -> Vec<SiteRows> {
        let asked = asked.into_iter().map(|(site, part)| async move {
            let shown = self.0.rows_of(&site, part).await;
            SiteRows { site, shown }
        });
        join_all(asked).await
    }

    /// Looks on at a site, from behind the event of this number, or from now on.
    ///
    /// # Errors
    /// Why that cannot be, in words.
    pub async fn watch_events(
        &self,
        site: &SiteName,
        after: Option<u64>,
    ) -> Result<Watched, String> {
        let link = self.0.link(site)?;
        let asked = link.subscribe(&PeerAsk::Events { after }, DEADLINE).await;
        let (first, replies) = asked.map_err(|e| in_words(&e, DEADLINE))?;
        Ok(Watched {
            federation: self.clone(),
            site: site.clone(),
            replies,
            first: Some(first),
            seen: after,
        })
    }
}

impl Inner {
    async fn rows_of(
        &self,
        site: &SiteName,
        (after, limit): Part<'_>,
    ) -> Result<(Vec<SeenMachine>, bool), String> {
        let ask = PeerAsk::Machines {
            after: after.map(str::to_owned),
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
        };
        let nonsense = || {
            let why = "its answer makes no sense";
            self.rejected(site, Rejected::Rows, why);
            why.to_owned()
        };
        let PeerReply::Machines { rows, more } = self.say(site, &ask, DEADLINE).await? else {
            return Err(nonsense());
        };
        // Who says that there is more has filled the page: it goes on behind its last row.
        if more && rows.len() != limit {
            return Err(nonsense());
        }
        let machines = heard::machines(&rows, (after, limit), self.store.now());
        Ok((machines.ok_or_else(nonsense)?, more))
    }
}

impl Watched {
    /// What happens next there.
    ///
    /// # Errors
    /// Why nothing more is heard, in words; asked again behind what was seen, nothing is lost.
    pub async fn next(&mut self) -> Result<Heard, String> {
        let reply = match self.first.take() {
            Some(first) => first,
            None => {
                let next = self.replies.next(SILENCE).await;
                next.map_err(|e| in_words(&e, SILENCE))?
            }
        };
        let heard = heard(reply, self.seen).ok_or_else(|| {
            let why = "its answer makes no sense";
            let inner = &self.federation.0;
            inner.rejected(&self.site, Rejected::Events, why);
            why
        })?;
        self.seen = Some(heard.seen);
        Ok(heard)
    }
}

/// An answer of a site to who has seen what is there up to a number; `None`: nonsense.
fn heard(reply: PeerReply, before: Option<u64>) -> Option<Heard> {
    let PeerReply::Events { events, seen, lost } = reply else {
        return None;
    };
    // Who comes new, or has missed some, begins where it is told.
    let after = before.filter(|_| !lost).unwrap_or(0);
    if seen < after || lost && !events.is_empty() {
        return None;
    }
    Some(Heard {
        events: heard::events(&events, (after, seen))?,
        seen,
        lost,
    })
}

/// Why a peer gave no answer, for people.
pub(super) fn in_words(error: &CallError, within: Duration) -> String {
    match error {
        CallError::TimedOut => format!("did not answer within {} ms", within.as_millis()),
        CallError::Refused(refusal) => plain(&refusal.text),
        CallError::Link(end) => format!("its link ended: {}", plain(&end.to_string())),
        CallError::Dropped => "dropped the question".to_owned(),
        CallError::Protocol(_) => "its answer makes no sense".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use mesh_proto::message::peer::ShownEvent;

    use super::*;

    fn event(seq: u64) -> ShownEvent {
        ShownEvent {
            seq,
            at_s: 0,
            kind: "member.alive".to_owned(),
            machine: "web1".to_owned(),
            mac: None,
            text: "web1 speaks\u{1b}[2J again".to_owned(),
        }
    }

    fn told(seqs: &[u64], seen: u64, lost: bool, before: Option<u64>) -> Option<(Vec<u64>, u64)> {
        let events = seqs.iter().map(|s| event(*s)).collect();
        let heard = heard(PeerReply::Events { events, seen, lost }, before)?;
        Some((heard.events.iter().map(|e| e.seq).collect(), heard.seen))
    }

    #[test]
    fn events_are_heard_once_and_in_order_and_a_peer_cannot_turn_the_number_back() {
        assert_eq!(told(&[], 7, false, None), Some((vec![], 7)));
        assert_eq!(told(&[8, 11], 12, false, Some(7)), Some((vec![8, 11], 12)));
        assert_eq!(told(&[], 12, false, Some(12)), Some((vec![], 12)));
        assert_eq!(
            told(&[], 3, true, Some(12)),
            Some((vec![], 3)),
            "a backup came back"
        );
        for (seqs, seen, lost, before) in [
            (&[7][..], 12, false, Some(7)),
            (&[9, 8], 12, false, Some(7)),
            (&[13], 12, false, Some(7)),
            (&[], 6, false, Some(7)),
            (&[8], 8, true, Some(7)),
            (&[9], 8, false, None),
        ] {
            assert_eq!(
                told(seqs, seen, lost, before),
                None,
                "{seqs:?} {seen} {lost}"
            );
        }
        assert_eq!(heard(PeerReply::Noted, Some(1)), None);
    }
}
