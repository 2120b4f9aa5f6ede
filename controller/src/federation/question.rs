//! Our questions: what a machine that boots here would get elsewhere.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use ipxe::Arch;
use mesh_proto::message::peer::{MAX_HOPS, PeerAsk, PeerReply, Question};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::{
    Federation, Inner,
    counts::Rejected,
    lock,
    lookup::{Lookup, Step, time_for},
    sites::in_words,
};
use crate::{
    boot::fresh_machine_id,
    state::{
        activation::Activation,
        boot::{BootRequest, askable},
        event::Draft,
        ops::TakeGrant,
        peer::{PeerAnswer, Peers, SiteName, Trail},
    },
};

/// What became of a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookedUp {
    /// A peer would grant this config.
    Offered(SiteName, String),
    /// A peer granted it, and it is due here now.
    Granted(SiteName),
    /// Nobody has anything.
    Nothing(Vec<PeerAnswer>),
}

impl LookedUp {
    /// What peers said, for the decision that follows.
    #[must_use]
    pub fn into_answers(self) -> Vec<PeerAnswer> {
        let one = |site, found| vec![PeerAnswer { site, found }];
        match self {
            Self::Offered(site, config) => one(site, format!("offers {config}")),
            Self::Granted(site) => one(site, "granted it".to_owned()),
            Self::Nothing(answers) => answers,
        }
    }
}

impl Federation {
    /// Asks the peers that have named this machine, all at once and within one deadline. With `claim` the first offer is
    /// claimed, and due here when this returns; without, nothing changes anywhere.
    pub async fn look_up(&self, request: &BootRequest, claim: bool) -> LookedUp {
        let Peers::Ask(trail) = &request.peers else {
            return LookedUp::Nothing(Vec::new());
        };
        let own = trail.visited.is_empty() && claim;
        let now = || Instant::now().into_std();
        if let Some(said) = lock(&self.0.cache).said(request.mac, now()).filter(|_| own) {
            return LookedUp::Nothing(said);
        }
        let found = self.ask(request, trail, claim).await;
        if let LookedUp::Nothing(said) = &found
            && own
        {
            lock(&self.0.cache).nothing(request.mac, said.clone(), now());
            self.0.tell_nothing(request, said);
        }
        found
    }

    async fn ask(&self, request: &BootRequest, trail: &Trail, claim: bool) -> LookedUp {
        let view = self.0.store.view();
        let sites: Vec<_> = askable(&view, request.mac, trail)
            .map(|p| p.site.clone())
            .collect();
        let question = self.0.question(request, trail);
        let within = time_for(trail.hops);
        let mut lookup = Lookup::new(Instant::now().into_std(), within, sites.clone());
        let until = Instant::from_std(lookup.until());
        let mut asked: FuturesUnordered<_> = sites
            .into_iter()
            .map(|site| self.0.peek(site, &question, within))
            .collect();
        loop {
            match lookup.next(Instant::now().into_std()) {
                Step::Over(answers) => return LookedUp::Nothing(answers),
                Step::Claim(site) if claim => {
                    let claimed = timeout_at(until, self.claim(&site, request, &question)).await;
                    match claimed {
                        Ok(Ok(())) => return LookedUp::Granted(site),
                        Ok(Err(why)) => lookup.not_granted(&site, why),
                        // The next step is the end.
                        Err(_) => {}
                    }
                }
                Step::Claim(site) => {
                    let offer = lookup.offer_of(&site).unwrap_or_default().to_owned();
                    return LookedUp::Offered(site, offer);
                }
                Step::Wait(until) => {
                    let next = timeout_at(Instant::from_std(until), asked.next()).await;
                    if let Ok(Some((site, answer))) = next {
                        lookup.answered(&site, answer);
                    }
                }
            }
        }
    }

    async fn claim(
        &self,
        site: &SiteName,
        request: &BootRequest,
        question: &Question,
    ) -> Result<(), String> {
        let ask = PeerAsk::Claim(question.clone());
        let grant = match self.0.say(site, &ask, time_for(0)).await? {
            PeerReply::Grant(grant) => *grant,
            PeerReply::Nothing { why } => return Err(plain(&why)),
            _ => return Err(self.0.senseless(site)),
        };
        let take = TakeGrant {
            site: site.clone(),
            mac: request.mac,
            grant,
            fresh_id: fresh_machine_id(),
        };
        let taken = self.0.store.apply(take).await.map_err(|e| e.to_string())?;
        let activation = taken.map_err(|why| {
            self.0.rejected(site, Rejected::Grant, &why);
            format!("its grant is not taken: {why}")
        })?;
        info!(%site, mac = %request.mac, config = %activation.config.name, "a peer granted a boot");
        self.prefetch(activation);
        Ok(())
    }

    /// The files start to come before the machine asks for them.
    fn prefetch(&self, activation: Activation) {
        let federation = self.clone();
        self.0.work.spawn(
            async move {
                for asset in activation.config.program.assets() {
                    if let Err(error) = federation.fetch(&activation, asset).await {
                        warn!(file = %asset.name, %error, "a peer's file could not be fetched");
                        return;
                    }
                }
            }
            .boxed(),
        );
    }
}

impl Inner {
    fn question(&self, request: &BootRequest, trail: &Trail) -> Question {
        let visited = trail.visited.iter().chain([&self.site]);
        Question {
            mac: request.mac.to_string(),
            arch: request.arch.map(|arch| arch_word(arch).to_owned()),
            session: request.session.clone(),
            visited: visited.map(ToString::to_string).collect(),
            hops: MAX_HOPS.saturating_sub(trail.hops + 1),
        }
    }

    async fn peek(
        &self,
        site: SiteName,
        question: &Question,
        within: Duration,
    ) -> (SiteName, Result<String, String>) {
        let ask = PeerAsk::Peek(question.clone());
        let answer = match self.say(&site, &ask, within).await {
            Ok(PeerReply::Offer { config, .. }) => Ok(plain(&config)),
            Ok(PeerReply::Nothing { why }) => Err(plain(&why)),
            Ok(_) => Err(self.senseless(&site)),
            Err(why) => Err(why),
        };
        (site, answer)
    }

    /// A peer answered something else than was asked; in words.
    fn senseless(&self, site: &SiteName) -> String {
        let why = "its answer makes no sense";
        self.rejected(site, Rejected::Answer, why);
        why.to_owned()
    }

    /// Asks a peer; the error says in words why there is no answer.
    pub(super) async fn say(
        &self,
        site: &SiteName,
        ask: &PeerAsk,
        within: Duration,
    ) -> Result<PeerReply, String> {
        let answered = self.asked(self.link(site)?.ask(ask, within).await);
        answered.map_err(|error| in_words(&error, within))
    }

    fn tell_nothing(&self, request: &BootRequest, said: &[PeerAnswer]) {
        if said.is_empty() {
            return;
        }
        let words: Vec<String> = said.iter().map(ToString::to_string).collect();
        let text = format!("peers were asked what it boots: {}", words.join("; "));
        self.store
            .note(Draft::new("boot.peers-asked", text).mac(request.mac));
    }
}

/// A peer's words, as they may stand in an event or on a screen.
pub(super) use crate::state::shown::plain;

fn arch_word(arch: Arch) -> &'static str {
    match arch {
        Arch::X86 => "x86",
        Arch::X64 => "x64",
        Arch::Arm32 => "arm32",
        Arch::Arm64 => "arm64",
    }
}

/// The processor that a peer names.
pub(super) fn arch_of(word: &str) -> Option<Arch> {
    match word {
        "x86" => Some(Arch::X86),
        "x64" => Some(Arch::X64),
        "arm32" => Some(Arch::Arm32),
        "arm64" => Some(Arch::Arm64),
        _ => None,
    }
}
