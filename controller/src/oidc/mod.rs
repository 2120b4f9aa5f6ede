//! Signing in at an identity provider: OpenID Connect, the authorization code flow with PKCE.
//!
//! Pure are what the provider says of itself ([`metadata`]), its keys ([`keys`]), the ID token ([`token`]), what follows from it
//! ([`claims`]) and what a browser carries ([`attempt`]). Here is who asks the provider: within time, a few at once, and what it
//! says is kept for an hour. Who waits for a browser to come back is `http::sign_in`; who becomes whom is `state::ops`.

mod asker;
pub mod attempt;
pub mod claims;
mod error;
pub mod keys;
pub mod metadata;
pub mod settings;
pub mod token;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use ipxe_net::Quota;
use tokio::{sync::Semaphore, time::timeout};

use self::{
    asker::{Known, Tokens},
    attempt::Attempt,
    claims::Claims,
    token::{Expected, TokenError, check},
};
pub use self::{claims::RoleRule, error::OidcError, settings::OidcSettings};
use crate::state::Timestamp;

/// How long it is kept what a provider says of itself, and its keys.
const KEPT: Duration = Duration::from_secs(3_600);
/// How long one that could not be asked is left alone: people who try again do not wait for it again.
const LEFT_ALONE: Duration = Duration::from_secs(5);
/// How often in a minute its keys are asked for because one was not known: strangers can name keys that do not exist.
const KEYS_PER_MINUTE: u32 = 6;
/// Codes that are exchanged at once. More are refused: a provider that is slow does not take the memory.
const EXCHANGES: usize = 16;
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(8);
/// How long all of it may take while a browser waits.
const WITHIN: Duration = Duration::from_secs(20);

/// The identity provider; cheap to clone.
#[derive(Debug, Clone)]
pub struct Oidc(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: OidcSettings,
    patience: Duration,
    known: ArcSwapOption<Known>,
    /// Who asks the provider what it is; the others wait, and find it known.
    turn: Semaphore,
    exchanges: Semaphore,
    past: Mutex<Past>,
}

/// What was asked before.
#[derive(Debug)]
struct Past {
    failed: Option<(Instant, OidcError)>,
    keys: Quota<()>,
}

impl Oidc {
    /// The provider of these settings. Nobody is asked before somebody signs in.
    #[must_use]
    pub fn new(settings: OidcSettings) -> Self {
        Self::with_patience(settings, ANSWER)
    }

    /// The same, with so much time for each answer.
    pub(crate) fn with_patience(settings: OidcSettings, patience: Duration) -> Self {
        let past = Past {
            failed: None,
            keys: Quota::per(KEYS_PER_MINUTE, Duration::from_secs(60)),
        };
        Self(Arc::new(Inner {
            settings,
            patience,
            known: ArcSwapOption::empty(),
            turn: Semaphore::new(1),
            exchanges: Semaphore::new(EXCHANGES),
            past: Mutex::new(past),
        }))
    }

    /// What a person says of it.
    #[must_use]
    pub fn settings(&self) -> &OidcSettings {
        &self.0.settings
    }

    /// Where a browser goes with this attempt.
    ///
    /// # Errors
    /// When the provider cannot be asked where that is.
    pub async fn url(&self, attempt: &Attempt) -> Result<String, OidcError> {
        let known = self.within(self.known()).await?;
        Ok(attempt.url(&known.metadata, self.settings()))
    }

    /// Whether the provider can be used: says where it is asked.
    ///
    /// # Errors
    /// With why not.
    pub async fn look(&self) -> Result<String, OidcError> {
        let known = self.within(self.known()).await?;
        asker::secret(self.settings()).await?;
        Ok(known.metadata.token.clone())
    }

    /// What the provider says of whoever came back with this code. `named` is what the browser says who sent it (RFC 9207).
    ///
    /// # Errors
    /// When the provider does not answer, takes the code back, or what it says does not hold.
    pub async fn claims(
        &self,
        attempt: &Attempt,
        code: &str,
        named: Option<&str>,
        now: Timestamp,
    ) -> Result<Claims, OidcError> {
        let _place = self
            .0
            .exchanges
            .try_acquire()
            .map_err(|_| OidcError::Busy)?;
        self.within(self.exchange(attempt, code, named, now)).await
    }

    async fn exchange(
        &self,
        attempt: &Attempt,
        code: &str,
        named: Option<&str>,
        now: Timestamp,
    ) -> Result<Claims, OidcError> {
        let settings = self.settings();
        let known = self.known().await?;
        match named {
            Some(named) if named != settings.issuer => return Err(OidcError::OtherIssuer),
            None if known.metadata.names_itself => return Err(OidcError::OtherIssuer),
            Some(_) | None => {}
        }
        let tokens = known.tokens(attempt, code, settings).await?;
        let said = self.checked(&known, &tokens, attempt, now).await?;
        if !said.lacks(settings) {
            return Ok(said);
        }
        match known.more(&tokens).await? {
            None => Ok(said),
            Some(more) => said.with(more).ok_or(OidcError::OtherPerson),
        }
    }

    /// What the ID token says, when it holds. A key that is not known may be a new one.
    async fn checked(
        &self,
        known: &Arc<Known>,
        tokens: &Tokens,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<Claims, OidcError> {
        let settings = self.settings();
        let expected = Expected {
            issuer: &settings.issuer,
            client_id: &settings.client_id,
            nonce: attempt.nonce.expose(),
            access_token: tokens.access.as_ref().map(|t| t.expose()),
            now_s: now.as_second(),
        };
        let id = tokens.id.expose();
        match check(id, &known.keys, &expected) {
            Err(TokenError::UnknownKey) => {
                let newer = self.newer(known).await?;
                Ok(check(id, &newer.keys, &expected)?)
            }
            checked => Ok(checked?),
        }
    }

    /// What the provider says of itself.
    async fn known(&self) -> Result<Arc<Known>, OidcError> {
        if let Some(known) = self.kept() {
            return Ok(known);
        }
        // It is never closed.
        let _turn = self.0.turn.acquire().await;
        if let Some(known) = self.kept() {
            return Ok(known);
        }
        let failed = self.past().failed.clone();
        if let Some((at, error)) = failed
            && at.elapsed() < LEFT_ALONE
        {
            return Err(error);
        }
        let asked = Known::ask(self.settings(), self.0.patience).await;
        self.past().failed = asked.as_ref().err().map(|e| (Instant::now(), e.clone()));
        let known = Arc::new(asked?);
        self.0.known.store(Some(Arc::clone(&known)));
        Ok(known)
    }

    fn kept(&self) -> Option<Arc<Known>> {
        let known = self.0.known.load_full();
        known.filter(|known| known.since.elapsed() < KEPT)
    }

    /// The same with keys that are newer than these.
    async fn newer(&self, old: &Arc<Known>) -> Result<Arc<Known>, OidcError> {
        let _turn = self.0.turn.acquire().await;
        if let Some(known) = self.kept().filter(|known| !Arc::ptr_eq(known, old)) {
            return Ok(known);
        }
        if !self.past().keys.admit((), Instant::now()) {
            return Err(TokenError::UnknownKey.into());
        }
        let newer = Arc::new(old.with_newer_keys().await?);
        self.0.known.store(Some(Arc::clone(&newer)));
        Ok(newer)
    }

    async fn within<T>(
        &self,
        asks: impl Future<Output = Result<T, OidcError>>,
    ) -> Result<T, OidcError> {
        timeout(WITHIN, asks).await.unwrap_or(Err(OidcError::Late))
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.0.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
