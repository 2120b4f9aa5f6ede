//! One look-up: which peers were asked, what they said, whom to claim from, and when it is over. Pure: answers and the time come
//! in, the next step comes out.

use std::time::{Duration, Instant};

use crate::{
    ordered::sort_by,
    state::peer::{PeerAnswer, SiteName},
};

/// How long a machine waits for all peers together: its firmware waits five seconds for a script, and most of that is ours to
/// spend elsewhere.
pub const DEADLINE: Duration = Duration::from_millis(1500);
/// A site that asks on behalf of another has so much less time than that: its answer has to come back in time.
const HOP: Duration = Duration::from_millis(400);

/// What a look-up may take at a site that the question reached after so many hops.
#[must_use]
pub fn time_for(hops: u8) -> Duration {
    DEADLINE.saturating_sub(HOP * u32::from(hops))
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Wait for answers, at most until then.
    Wait(Instant),
    /// Claim from this peer, then say how it went.
    Claim(SiteName),
    /// Nobody has anything; in the order of their names.
    Over(Vec<PeerAnswer>),
}

/// Where a peer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// It offers this config; the number says who was first.
    Offer(usize, String),
    /// It is claimed from.
    Claiming(String),
    /// That was all.
    Said(String),
}

/// A look-up.
#[derive(Debug)]
pub struct Lookup {
    peers: Vec<(SiteName, Heard)>,
    offers: usize,
    until: Instant,
    within: Duration,
}

impl Lookup {
    /// Asks these peers, all at once.
    #[must_use]
    pub fn new(now: Instant, within: Duration, sites: impl IntoIterator<Item = SiteName>) -> Self {
        let mut peers: Vec<_> = sites.into_iter().map(|s| (s, Heard::Nothing)).collect();
        sort_by(&mut peers, |a, b| a.0.cmp(&b.0));
        Self {
            peers,
            offers: 0,
            until: now + within,
            within,
        }
    }

    /// When it is over at the latest.
    #[must_use]
    pub fn until(&self) -> Instant {
        self.until
    }

    /// A peer answered: the name of the config that it offers, or why it offers none. Only its first answer counts.
    pub fn answered(&mut self, site: &SiteName, answer: Result<String, String>) {
        let number = self.offers;
        let Some(heard) = self.heard(site).filter(|h| **h == Heard::Nothing) else {
            return;
        };
        *heard = match answer {
            Ok(config) => Heard::Offer(number, config),
            Err(why) => Heard::Said(why),
        };
        self.offers += 1;
    }

    /// A claim came to nothing; the others are still heard.
    pub fn not_granted(&mut self, site: &SiteName, why: String) {
        if let Some(heard) = self.heard(site).filter(|h| matches!(h, Heard::Claiming(_))) {
            *heard = Heard::Said(why);
        }
    }

    /// The config that a peer offers that is to be claimed from.
    #[must_use]
    pub fn offer_of(&self, site: &SiteName) -> Option<&str> {
        let mut peers = self.peers.iter();
        match peers.find(|(s, _)| s == site) {
            Some((_, Heard::Claiming(config))) => Some(config),
            _ => None,
        }
    }

    fn heard(&mut self, site: &SiteName) -> Option<&mut Heard> {
        let mut peers = self.peers.iter_mut();
        peers.find(|(s, _)| s == site).map(|(_, heard)| heard)
    }

    /// What to do now. The first offer that came is claimed first.
    pub fn next(&mut self, now: Instant) -> Step {
        if now >= self.until {
            return Step::Over(self.answers());
        }
        let waits = |h: &Heard| matches!(h, Heard::Nothing | Heard::Claiming(_));
        if self
            .peers
            .iter()
            .any(|(_, h)| matches!(h, Heard::Claiming(_)))
        {
            return Step::Wait(self.until);
        }
        let offers = self
            .peers
            .iter_mut()
            .filter_map(|(site, heard)| match heard {
                Heard::Offer(number, config) => {
                    Some((*number, config.clone(), site.clone(), heard))
                }
                Heard::Nothing | Heard::Claiming(_) | Heard::Said(_) => None,
            });
        if let Some((_, config, site, heard)) = offers.min_by_key(|(number, ..)| *number) {
            *heard = Heard::Claiming(config);
            return Step::Claim(site);
        }
        match self.peers.iter().any(|(_, h)| waits(h)) {
            true => Step::Wait(self.until),
            false => Step::Over(self.answers()),
        }
    }

    fn answers(&self) -> Vec<PeerAnswer> {
        let late = format!("within {} ms", self.within.as_millis());
        let said = |(site, heard): &(SiteName, Heard)| PeerAnswer {
            site: site.clone(),
            found: match heard {
                Heard::Nothing => format!("did not answer {late}"),
                Heard::Offer(_, config) => format!("offers {config}, but time was over"),
                Heard::Claiming(config) => format!("offers {config}, but did not grant it {late}"),
                Heard::Said(why) => why.clone(),
            },
        };
        self.peers.iter().map(said).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str) -> SiteName {
        name.parse().unwrap()
    }

    fn lookup(now: Instant, sites: &[&str]) -> Lookup {
        Lookup::new(now, DEADLINE, sites.iter().map(|s| site(s)))
    }

    fn words(step: Step) -> Vec<String> {
        match step {
            Step::Over(answers) => answers.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_offer_is_claimed_at_once_whatever_the_others_do() {
        let now = Instant::now();
        let mut all = lookup(now, &["dead", "slow", "quick"]);
        assert_eq!(all.next(now), Step::Wait(now + DEADLINE));
        all.answered(&site("quick"), Ok("live".to_owned()));
        all.answered(&site("slow"), Ok("other".to_owned()));
        assert_eq!(all.next(now), Step::Claim(site("quick")));
        assert_eq!(
            all.next(now),
            Step::Wait(now + DEADLINE),
            "one claim at a time"
        );
        all.not_granted(&site("quick"), "it is granted to another site".to_owned());
        assert_eq!(all.next(now), Step::Claim(site("slow")));
        assert_eq!(
            words(all.next(now + DEADLINE)),
            [
                "dead: did not answer within 1500 ms",
                "quick: it is granted to another site",
                "slow: offers other, but did not grant it within 1500 ms"
            ]
        );
    }

    #[test]
    fn it_is_over_as_soon_as_all_have_said_no_and_at_the_deadline_at_the_latest() {
        let now = Instant::now();
        let mut all = lookup(now, &["b", "a"]);
        all.answered(&site("b"), Err("nothing is due for it".to_owned()));
        assert!(matches!(all.next(now), Step::Wait(_)));
        all.answered(&site("a"), Err("may not ask".to_owned()));
        assert_eq!(
            words(all.next(now)),
            ["a: may not ask", "b: nothing is due for it"]
        );
        assert_eq!(words(lookup(now, &[]).next(now)), [""; 0]);
        let mut silent = lookup(now, &["a"]);
        let almost = now + DEADLINE.saturating_sub(Duration::from_millis(1));
        assert!(matches!(silent.next(almost), Step::Wait(_)));
        assert_eq!(words(silent.next(now + DEADLINE)).len(), 1);
    }

    #[test]
    fn who_was_not_asked_or_speaks_twice_changes_nothing() {
        let now = Instant::now();
        let mut all = lookup(now, &["a"]);
        all.answered(&site("forger"), Ok("evil".to_owned()));
        assert!(matches!(all.next(now), Step::Wait(_)));
        all.answered(&site("a"), Err("nothing".to_owned()));
        all.answered(&site("a"), Ok("evil".to_owned()));
        all.not_granted(&site("a"), "else".to_owned());
        assert_eq!(words(all.next(now)), ["a: nothing"]);
    }

    #[test]
    fn a_hop_has_less_time_than_who_handed_on() {
        for hops in 0..3 {
            assert!(time_for(hops + 1) + Duration::from_millis(300) < time_for(hops));
        }
    }
}
