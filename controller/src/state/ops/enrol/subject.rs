//! Which machine a claim is about, and whether somebody else is that machine already.

use mesh_proto::message::{Refusal, RefusalCode};

use super::{Claim, Enrol, proof::Proved};
use crate::state::{
    View,
    machine::{Machine, Standing},
    matching::{Candidate, Identity, Match, find, same_hardware},
    trust::token::TokenScope,
};

/// The answer.
pub(super) enum Subject {
    /// This machine.
    Sure(Machine),
    /// None of ours.
    New,
    /// Perhaps this one, perhaps a new one: a person decides, and this is why.
    Unsure(Option<Machine>, String),
    /// This one, but its enrolled key is alive, and this is another's.
    Rival(Machine, String),
    /// The proof is for something else.
    Wrong(Option<Machine>, Refusal),
}

impl Enrol {
    pub(super) fn subject(&self, view: &View, who: &Identity, proved: &Proved) -> Subject {
        let booted = match self.claim {
            Claim::Boot { mac, .. } => Some(mac),
            Claim::Token(_) | Claim::None => None,
        };
        let found = find(view, who, booted);
        let subject = match proved {
            Proved::Boot { owner } => self.booted(view, who, owner, found),
            Proved::Token { token } => match &token.scope {
                TokenScope::Any => self.anyone(view, found),
                TokenScope::Machine { machine } => match view.machine(machine) {
                    Some(machine) => named_by_token(view, machine, found),
                    None => gone(),
                },
            },
            Proved::Nothing => self.anyone(view, found),
        };
        match subject {
            Subject::Sure(machine) => self.unless_rival(view, who, proved, machine),
            other => other,
        }
    }

    /// It booted by a card of `owner`. That alone makes it the owner, unless its hardware says otherwise.
    fn booted(&self, view: &View, who: &Identity, owner: &Machine, found: Match) -> Subject {
        match found {
            Match::Known(c) if c.machine == owner.id => Subject::Sure(owner.clone()),
            Match::Ambiguous(all) if all.iter().any(|c| c.machine == owner.id) => {
                Subject::Sure(owner.clone())
            }
            Match::Known(c) => {
                let Some(machine) = view.machine(&c.machine) else {
                    return Subject::New;
                };
                let strong = view
                    .identity(&machine.id)
                    .is_some_and(|known| same_hardware(known, who));
                if is_blank(view, owner) && strong {
                    return Subject::Sure(Machine::clone(machine));
                }
                let why = format!(
                    "it looks like {} ({}), but it booted by a network card that {} is known by",
                    machine.name,
                    c.score.words(),
                    owner.name
                );
                Subject::Unsure(Some(Machine::clone(machine)), why)
            }
            Match::New(nearest) => self.contradicts(view, owner, nearest),
            Match::Ambiguous(all) => several(view, &all),
        }
    }

    /// Its hardware says that it is not `owner`, whose card it booted by.
    fn contradicts(&self, view: &View, owner: &Machine, nearest: Option<Candidate>) -> Subject {
        let words = nearest
            .filter(|c| c.machine == owner.id)
            .map_or_else(|| "nothing else in common".to_owned(), |c| c.score.words());
        if self.has_living_rival(view, owner) {
            let why = format!("it has a network card of {}, but: {words}", owner.name);
            return Subject::Rival(owner.clone(), why);
        }
        let why = format!(
            "it booted by a network card of {}, but is another machine: {words}",
            owner.name
        );
        Subject::Unsure(None, why)
    }

    fn anyone(&self, view: &View, found: Match) -> Subject {
        match found {
            Match::Known(c) => match view.machine(&c.machine) {
                Some(machine) => Subject::Sure(Machine::clone(machine)),
                None => Subject::New,
            },
            Match::New(Some(nearest)) => {
                // The same card and other hardware, while the first lives: a copy of its address.
                let owner = view.machine(&nearest.machine);
                match owner.filter(|m| self.shares_a_card(m) && self.has_living_rival(view, m)) {
                    Some(owner) => {
                        let why = format!(
                            "it has a network card of {}, but: {}",
                            owner.name,
                            nearest.score.words()
                        );
                        Subject::Rival(Machine::clone(owner), why)
                    }
                    None => Subject::New,
                }
            }
            Match::New(None) => Subject::New,
            Match::Ambiguous(all) => several(view, &all),
        }
    }

    fn shares_a_card(&self, machine: &Machine) -> bool {
        let who = Identity::of_facts(&self.facts);
        who.macs.intersection(&machine.macs).next().is_some()
    }

    /// Whether another key's link of this machine is alive. A key of the same boot is the same agent, which lost its key.
    fn has_living_rival(&self, view: &View, machine: &Machine) -> bool {
        view.member(&machine.id).is_some_and(|member| {
            let other = || view.key(&member.serial).is_none_or(|k| k.key != self.key);
            member.is_alive() && member.boot_id != self.boot_id && other()
        })
    }

    fn unless_rival(
        &self,
        view: &View,
        who: &Identity,
        proved: &Proved,
        machine: Machine,
    ) -> Subject {
        if !self.has_living_rival(view, &machine) {
            return Subject::Sure(machine);
        }
        let same = view
            .identity(&machine.id)
            .is_some_and(|known| same_hardware(known, who));
        match proved {
            // The machine was reset faster than its silence was noticed.
            Proved::Boot { .. } | Proved::Token { .. } if same => Subject::Sure(machine),
            Proved::Boot { .. } | Proved::Token { .. } => {
                let why = "nothing but a network card says that it is the same machine".to_owned();
                Subject::Rival(machine, why)
            }
            Proved::Nothing => {
                let why = "it showed neither a boot's secret nor a token".to_owned();
                Subject::Rival(machine, why)
            }
        }
    }
}

/// A token for one machine: whoever shows it is that one, unless it plainly is another of ours.
fn named_by_token(view: &View, machine: &Machine, found: Match) -> Subject {
    match found {
        Match::Known(c) if c.machine != machine.id => {
            let other = view.machine_name(&c.machine);
            let text = format!(
                "the join token is for {}, and this is {other}",
                machine.name
            );
            Subject::Wrong(
                Some(machine.clone()),
                Refusal::new(RefusalCode::WrongHardware, text),
            )
        }
        // Its hardware is known, and this is not it.
        Match::New(_) if view.facts(&machine.id).is_some() => {
            let text = format!(
                "the join token is for {}, which is made of other hardware; forget it first, or create a token for any machine",
                machine.name
            );
            Subject::Wrong(
                Some(machine.clone()),
                Refusal::new(RefusalCode::WrongHardware, text),
            )
        }
        Match::Known(_) | Match::New(_) | Match::Ambiguous(_) => Subject::Sure(machine.clone()),
    }
}

fn gone() -> Subject {
    let text = "the machine that the join token is for was forgotten; create another";
    Subject::Wrong(None, Refusal::new(RefusalCode::BadProof, text))
}

fn several(view: &View, all: &[Candidate]) -> Subject {
    let names: Vec<String> = all
        .iter()
        .filter_map(|c| view.machine(&c.machine))
        .map(|m| m.name.to_string())
        .collect();
    let why = format!("it could be any of {}", names.join(", "));
    Subject::Unsure(None, why)
}

/// Whether a machine is nothing but an address that asked to boot.
pub(in crate::state::ops) fn is_blank(view: &View, machine: &Machine) -> bool {
    machine.standing == Standing::Seen
        && view.facts(&machine.id).is_none()
        && view.keys_of(&machine.id).next().is_none()
        && view.member(&machine.id).is_none()
        && view.deployments_of(&machine.id).next().is_none()
}
