//! Keeping a link: one controller after the other, with growing waits, until one takes the hello.

use std::{net::SocketAddr, time::Duration};

use mesh_proto::message::link::Hello;
use tokio::{sync::Notify, time::timeout};

use super::{AgentEndpoint, Backoff, Link, LinkError, dial::DIAL};
use crate::tls::LinkIdentity;

/// Time for one of several controllers: the next may be less busy, or alive.
const ONE_OF_SEVERAL: Duration = Duration::from_secs(4);
/// Controllers an agent remembers; a site has a handful.
const MOST: usize = 16;

/// The controllers an agent knows, and its patience with them.
pub struct Dialer {
    endpoint: AgentEndpoint,
    controllers: Vec<SocketAddr>,
    backoff: Backoff,
}

impl Dialer {
    /// Dials these, the first one first.
    #[must_use]
    pub fn new(endpoint: AgentEndpoint, controllers: &[SocketAddr]) -> Self {
        let mut dialer = Self {
            endpoint,
            controllers: Vec::new(),
            backoff: Backoff::default(),
        };
        dialer.learn(controllers);
        dialer
    }

    /// Takes the addresses of a welcome: they come first, older ones stay as a last resort.
    pub fn learn(&mut self, controllers: &[SocketAddr]) {
        let older = std::mem::take(&mut self.controllers);
        for controller in controllers.iter().copied().chain(older) {
            if !self.controllers.contains(&controller) && self.controllers.len() < MOST {
                self.controllers.push(controller);
            }
        }
    }

    /// The addresses, in the order they are dialled; an installed agent keeps them.
    #[must_use]
    pub fn controllers(&self) -> &[SocketAddr] {
        &self.controllers
    }

    /// Dials until a controller takes the hello. Between rounds it waits, longer each time (up to 5 s), but goes on at
    /// once when `knock` is notified. `failed` hears of each failure, for the screen and the log.
    ///
    /// # Errors
    /// A [final](LinkError::is_final) failure of any controller: the key has to be renewed or enrolled anew.
    pub async fn link(
        &mut self,
        identity: &LinkIdentity,
        hello: &Hello,
        knock: &Notify,
        mut failed: impl FnMut(SocketAddr, &LinkError),
    ) -> Result<Link, LinkError> {
        loop {
            for controller in self.controllers.clone() {
                let dialled =
                    self.endpoint
                        .connect_within(self.patience(), controller, identity, hello);
                match dialled.await {
                    Ok(link) => {
                        self.backoff.reset();
                        self.learn(&link.welcome.controllers);
                        self.prefer(controller);
                        return Ok(link);
                    }
                    Err(error) if error.is_final() => return Err(error),
                    Err(error) => failed(controller, &error),
                }
            }
            let wait = self.backoff.next_wait(rand::random());
            let _knocked_or_over = timeout(wait, knock.notified()).await;
        }
    }

    fn patience(&self) -> Duration {
        if self.controllers.len() > 1 {
            ONE_OF_SEVERAL
        } else {
            DIAL
        }
    }

    /// The controller that answered is the first to be dialled next time.
    fn prefer(&mut self, controller: SocketAddr) {
        if let Some(at) = self
            .controllers
            .iter()
            .position(|known| *known == controller)
        {
            self.controllers[..=at].rotate_right(1);
        }
    }
}
