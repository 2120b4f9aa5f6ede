//! Passwords that are shown: looked at a few at a time, and less and less often by who is wrong. And who went to the identity
//! provider and has not come back yet.
//!
//! A guess costs the controller some hundredths of a second and 19 MiB, so that they are worth bounding for its own sake too.
//! A name that is not known costs as much as one that is, and is answered in the same words.

mod begun;
mod misses;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::response::{IntoResponse, Response};
use ipxe_net::Quota;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

pub(crate) use self::begun::{Begun, LASTS};
use self::{
    begun::Waiting,
    misses::{Misses, Rule},
};
use super::{
    Api,
    auth::challenged,
    error::{Code, Problem},
    known::too_many,
    network::Whom,
};
use crate::{
    metrics::Counter,
    state::{event::Draft, password::Password, trust::Digest, user::UserName},
};

/// Passwords hashed at once: 38 MiB, and half of a Pi's cores.
const AT_ONCE: usize = 2;
/// Passwords that wait for their turn: two seconds of a Pi. More are refused.
const WAITING: usize = 32;
/// Of one account: nobody guesses more than once a minute for long, and whoever is guessed at waits no longer than that.
const OF_ACCOUNT: Rule = Rule {
    free: 3,
    most: Duration::from_secs(60),
};
/// Of one address: a room of people may be behind it.
const OF_ADDRESS: Rule = Rule {
    free: 10,
    most: Duration::from_secs(15 * 60),
};
/// Events about refusals in a minute: who guesses does not push everything else out of the record. All are counted.
const TOLD_PER_MINUTE: u32 = 30;

/// Who wants to be somebody.
#[derive(Debug, Clone)]
pub(crate) struct Try {
    /// Whom they say to be; `None`: a text that can be nobody's name.
    pub(crate) user: Option<UserName>,
    /// From where, over the network.
    pub(crate) from: Option<IpAddr>,
}

/// A refusal, and when to come again.
#[derive(Debug)]
pub(crate) struct Refused {
    /// What is said.
    pub(crate) problem: Problem,
    /// When to come again, where that is known.
    pub(crate) wait: Option<Duration>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct SignIns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    counts: Mutex<Counts>,
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

#[derive(Debug)]
struct Counts {
    accounts: Misses<Option<UserName>>,
    addresses: Misses<Whom>,
    told: Quota<()>,
    begun: Waiting,
}

impl Default for SignIns {
    fn default() -> Self {
        let counts = Counts {
            accounts: Misses::new(OF_ACCOUNT),
            addresses: Misses::new(OF_ADDRESS),
            told: Quota::per(TOLD_PER_MINUTE, Duration::from_secs(60)),
            begun: Waiting::default(),
        };
        Self(Arc::new(Inner {
            counts: Mutex::new(counts),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(WAITING)),
        }))
    }
}

impl SignIns {
    /// What is kept of the password of who tries, when `text` fits it.
    pub(crate) async fn verify(
        &self,
        api: &Api,
        who: Try,
        text: String,
    ) -> Result<Password, Refused> {
        let begun = self.begin(&who, Instant::now());
        let place = begun.map_err(|(why, refused)| told(self, api, &who, why, refused))?;
        let view = api.store.view();
        let user = who.user.as_ref().and_then(|name| view.user(name));
        let user = user.filter(|user| !user.disabled);
        let kept = user.and_then(|user| view.password(&user.name));
        let kept = kept.map(|kept| Password::clone(kept));
        drop(view);
        let fits = self.hashed(place, move || {
            let nobody = || Password::of_nobody("nobody".parse().expect("a plain name"));
            let fits = kept.clone().unwrap_or_else(nobody).is(&text);
            kept.filter(|_| fits)
        });
        let Some(password) = fits.await? else {
            return Err(told(self, api, &who, "wrong", wrong()));
        };
        self.right(&who);
        api.metrics.count(Counter::SignIns, "good");
        Ok(password)
    }

    /// What is to be kept of a new password.
    pub(crate) async fn make(&self, user: UserName, text: String) -> Result<Password, Refused> {
        let place = self.place().ok_or_else(busy)?;
        let salt = rand::random();
        let made = self.hashed(place, move || Password::of(user, &text, salt));
        made.await?.ok_or_else(busy)
    }

    /// Does `work` when it is its turn. Who asked may have gone: the work holds its turn until it is done.
    async fn hashed<T: Send + 'static>(
        &self,
        place: OwnedSemaphorePermit,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let turn = Arc::clone(&self.0.turns).acquire_owned().await;
        let work = spawn_blocking(move || {
            let done = work();
            drop((turn, place));
            done
        });
        work.await.map_err(|error| {
            let text = format!("the password could not be looked at: {error}");
            refused(Problem::new(Code::Internal, text), None)
        })
    }

    fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.waiting).try_acquire_owned().ok()
    }

    /// A try begins, unless who tries has to wait, or too many do.
    fn begin(
        &self,
        who: &Try,
        now: Instant,
    ) -> Result<OwnedSemaphorePermit, (&'static str, Refused)> {
        let mut counts = self.counts();
        let address = who.from.map(Whom::from);
        let of_account = counts.accounts.wait(&who.user, now);
        let of_address = address.and_then(|whom| counts.addresses.wait(&whom, now));
        if let Some(wait) = of_account.max(of_address) {
            return Err(("waits", waits(wait)));
        }
        let place = self.place().ok_or_else(|| ("busy", busy()))?;
        counts.accounts.begin(&who.user, now);
        if let Some(whom) = address {
            counts.addresses.begin(&whom, now);
        }
        Ok(place)
    }

    /// The password fitted. Their address keeps its misses: one's own account is no way to guess at others'.
    fn right(&self, who: &Try) {
        let mut counts = self.counts();
        counts.accounts.forgive(&who.user);
        if let Some(ip) = who.from {
            counts.addresses.take_back(&ip.into());
        }
    }

    /// Somebody goes to the identity provider.
    pub(crate) fn begin_elsewhere(
        &self,
        begun: Begun,
        from: Option<IpAddr>,
    ) -> Result<(), Refused> {
        let from = from.map(Whom::from);
        let kept = self.counts().begun.begin(begun, from, Instant::now());
        kept.then_some(()).ok_or_else(busy)
    }

    /// Somebody comes back from there, and shows where they began.
    pub(crate) fn end_elsewhere(&self, state: &str, browser: Option<Digest>) -> Option<Begun> {
        self.counts().begun.end(state, browser, Instant::now())
    }

    /// Counts that somebody who came back is not let in, and writes it down, as often as that is done. What any stranger can
    /// make happen at will is only counted.
    pub(crate) fn refused_elsewhere(&self, api: &Api, from: Option<IpAddr>, problem: &Problem) {
        let why = problem.code.text();
        api.metrics.count(Counter::SignIns, why);
        if !matches!(problem.code, Code::OidcState | Code::OidcOff) {
            let from = place(from);
            let text = format!(
                "nobody signed in at the identity provider, from {from}: {}",
                problem.detail
            );
            self.tell(
                api,
                Draft::new("session.refused", text)
                    .field("why", why)
                    .field("from", from),
            );
        }
    }

    fn tell(&self, api: &Api, event: Draft) {
        if self.counts().told.admit((), Instant::now()) {
            api.store.note(event);
        }
    }

    /// As if somebody had been wrong so often.
    #[cfg(test)]
    pub(crate) fn missed(&self, who: &Try, times: u32) {
        let (mut counts, now) = (self.counts(), Instant::now());
        for _ in 0..times {
            counts.accounts.begin(&who.user, now);
            if let Some(ip) = who.from {
                counts.addresses.begin(&ip.into(), now);
            }
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a refusal and writes it down, as often as that is done.
fn told(ins: &SignIns, api: &Api, who: &Try, why: &str, refused: Refused) -> Refused {
    api.metrics.count(Counter::SignIns, why);
    let name = who.user.as_ref().map_or("nobody's name", UserName::as_str);
    let from = place(who.from);
    let text = match why {
        "wrong" => format!("a wrong name or password was shown as {name}, from {from}"),
        "waits" => format!("signing in as {name} from {from} has to wait: too many tries failed"),
        _ => format!("signing in as {name} from {from} was refused: too many do at once"),
    };
    let event = Draft::new("session.refused", text).field("why", why);
    ins.tell(api, event.field("user", name).field("from", from));
    refused
}

fn place(from: Option<IpAddr>) -> String {
    from.map_or("this host".to_owned(), |ip| ip.to_string())
}

fn refused(problem: Problem, wait: Option<Duration>) -> Refused {
    Refused { problem, wait }
}

fn wrong() -> Refused {
    let text = "the name or the password is wrong; who has none asks an admin for one: `enforcer users password NAME`";
    refused(Problem::new(Code::SignInRefused, text), None)
}

fn waits(wait: Duration) -> Refused {
    let text = "too many tries to sign in failed; wait, and try again";
    refused(Problem::new(Code::TooManyRequests, text), Some(wait))
}

fn busy() -> Refused {
    let text = "too many sign in at once; try again in a moment";
    let wait = Duration::from_secs(2);
    refused(Problem::new(Code::TooManyRequests, text), Some(wait))
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self.wait {
            Some(wait) => too_many(self.problem, wait),
            None => challenged(self.problem),
        }
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        refused(problem, None)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::http::tests::Site;

    #[tokio::test]
    async fn many_who_sign_in_at_once_do_not_take_the_memory_and_nobody_loses_by_it() {
        let site = Site::new();
        let api = &site.api;
        let tries = (0..WAITING + 10).map(|n| {
            let user = format!("u{n}").parse().ok();
            api.sign_ins
                .verify(api, Try { user, from: None }, String::new())
        });
        let ended = join_all(tries).await;
        let busy = ended
            .iter()
            .filter(|r| matches!(r, Err(r) if r.wait.is_some()));
        assert_eq!(busy.count(), 10);
        assert_eq!(api.metrics.value(Counter::SignIns, "busy"), 10);
        assert_eq!(api.metrics.value(Counter::SignIns, "wrong"), WAITING as u64);
        assert_eq!(api.sign_ins.0.turns.available_permits(), AT_ONCE);
        assert_eq!(api.sign_ins.0.waiting.available_permits(), WAITING);
        let told = api.sign_ins.counts().told.wait(&(), Instant::now());
        assert!(told.is_some(), "events have a bound, counters have none");
    }

    /// A caller that goes away leaves its hash behind, which still has its turn.
    #[tokio::test]
    async fn who_goes_away_does_not_let_more_in_than_may() {
        let ins = SignIns::default();
        let (begun, seen) = std::sync::mpsc::channel();
        let (end, ending) = std::sync::mpsc::channel::<()>();
        let place = ins.place().unwrap();
        let work = ins.hashed(place, move || {
            begun.send(()).unwrap();
            ending.recv()
        });
        let gone = tokio::time::timeout(Duration::from_millis(1), work);
        assert!(gone.await.is_err());
        seen.recv().unwrap();
        assert_eq!(ins.0.turns.available_permits(), AT_ONCE - 1);
        end.send(()).unwrap();
        let all = ins.0.turns.acquire_many(u32::try_from(AT_ONCE).unwrap());
        drop(all.await.unwrap());
    }
}
