//! Setups are written, deleted, and deployed as one row of jobs.

use mesh_proto::message::job::{After, DiskRule, PartitionRule, ProvisionFile};

use super::{
    MachineRef, NotYours,
    deployments::{Created, DeployError, Draw, enqueue, forget_oldest, has_room},
    holds::may_use,
    orders::{OrderError, OrderSpec, pinned},
};
use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    activation::Nonce,
    deployment::{Deployment, DeploymentId, Order, Part, Until, When},
    event::Draft,
    machine::Machine,
    setup::{MAX_ITEMS, Setup, SetupItem, SetupName},
    user::Asker,
};

/// Why a setup is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// No such setup.
    #[error("no setup is called '{0}'; `enforcer setups list` shows the known ones")]
    NotFound(SetupName),
    /// None, or too many.
    #[error("a setup has 1 to {MAX_ITEMS} images")]
    Items,
    /// The later one would overwrite the earlier.
    #[error("part {1} would overwrite part {0}: give each a disk or a partition of its own")]
    SameDisk(usize, usize),
    /// An image that is not there.
    #[error(transparent)]
    Image(#[from] OrderError),
}

/// What somebody asks for that only the setup's owner may, where it has one. Deploying it is not: as with an image, whose
/// machine it is counts.
#[derive(Debug, Clone)]
pub struct OnSetup<T> {
    /// Which setup it is about.
    pub setup: SetupName,
    /// Who asks.
    pub asker: Asker,
    /// What they ask for.
    pub wants: T,
}

impl<T: Transition> Transition for OnSetup<T> {
    type Outcome = Result<T::Outcome, NotYours>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let owner = view.setup(&self.setup).and_then(|s| s.owner.as_ref());
        if let Some(owner) = owner.filter(|owner| !self.asker.may_change(Some(owner))) {
            let refused = NotYours {
                what: format!("setup {}", self.setup),
                owner: owner.clone(),
            };
            return (Changes::none(), Err(refused));
        }
        let (changes, outcome) = self.wants.run(view, now);
        (changes, Ok(outcome))
    }
}

/// A person writes a setup; it replaces the one of the same name.
#[derive(Debug, Clone)]
pub struct SetSetup(pub Setup);

impl Transition for SetSetup {
    type Outcome = Result<Setup, SetupError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        if let Err(error) = check(view, &self.0) {
            return (changes, Err(error));
        }
        let old = view.setup(&self.0.name);
        let setup = Setup {
            revision: old.map_or(1, |o| o.revision + 1),
            updated: now,
            ..self.0.clone()
        };
        let draft = Draft::new("setup.changed", format!("setup {} was written", setup.name));
        changes.event(draft.field("setup", setup.name.to_string()));
        changes.write(setup.clone());
        (changes, Ok(setup))
    }
}

fn check(view: &View, setup: &Setup) -> Result<(), SetupError> {
    if !(1..=MAX_ITEMS).contains(&setup.items.len()) {
        return Err(SetupError::Items);
    }
    for (n, item) in setup.items.iter().enumerate() {
        pinned(view, &item.image)?;
        let place = |i: &SetupItem| Place(i.disk.clone(), i.partition.clone());
        let mut before = setup.items[..n].iter();
        if let Some(same) = before.position(|i| place(item).destroys(&place(i))) {
            return Err(SetupError::SameDisk(same + 1, n + 1));
        }
    }
    Ok(())
}

/// Where a part is written.
struct Place(DiskRule, Option<PartitionRule>);

impl Place {
    /// Whether nothing would be left of what was written there before.
    fn destroys(&self, before: &Self) -> bool {
        self.0 == before.0 && (self.1.is_none() || self.1 == before.1)
    }
}

/// A person deletes a setup. What was deployed of it goes on.
#[derive(Debug, Clone)]
pub struct DeleteSetup(pub SetupName);

impl Transition for DeleteSetup {
    type Outcome = Result<(), SetupError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        if view.setup(&self.0).is_none() {
            return (changes, Err(SetupError::NotFound(self.0.clone())));
        }
        changes.write(Key::Setup(self.0.clone()));
        let draft = Draft::new("setup.deleted", format!("setup {} was deleted", self.0));
        changes.event(draft.field("setup", self.0.to_string()));
        (changes, Ok(()))
    }
}

/// A person asks for a setup to be written to a machine.
#[derive(Debug, Clone)]
pub struct DeploySetup {
    /// Whose disks.
    pub machine: MachineRef,
    /// Which.
    pub setup: SetupName,
    /// Files for the new system, with the first image.
    pub provision: Vec<ProvisionFile>,
    /// A join token for the new system's agent, with the first image.
    pub join: bool,
    /// What the machine does when all is written.
    pub after: After,
    /// When it is good; `None`: as for one deployment.
    pub until: Option<Until>,
    /// Whether somebody starts the machine for it.
    pub when: When,
    /// Who, for people.
    pub by: String,
    /// Fresh random name, from which each part gets its own.
    pub nonce: Nonce,
}

impl Transition for DeploySetup {
    /// The parts, in order.
    type Outcome = Result<Vec<Created>, DeployError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let missing = || DeployError::NoMachine(self.machine.0.clone());
        let Some(machine) = self.machine.find(view) else {
            return (Changes::none(), Err(missing()));
        };
        if let Err(held) = may_use(&machine, &self.by, now) {
            return (Changes::none(), Err(held.into()));
        }
        let jobs = match self.orders(view, &machine) {
            Ok(orders) => self.jobs(view, &machine, orders, now),
            Err(error) => return (Changes::none(), Err(error)),
        };
        let mut changes = Changes::none();
        forget_oldest(view, &machine, &mut changes);
        for job in &jobs {
            enqueue(job, &machine, &mut changes);
        }
        (changes, Ok(jobs.iter().map(created).collect()))
    }
}

fn created(deployment: &Deployment) -> Created {
    Created {
        deployment: deployment.clone(),
        existed: false,
    }
}

impl DeploySetup {
    fn orders(&self, view: &View, machine: &Machine) -> Result<Vec<Order>, DeployError> {
        let missing = || DeployError::NoSetup(self.setup.to_string());
        let setup = view.setup(&self.setup).ok_or_else(missing)?;
        has_room(view, machine, setup.items.len())?;
        let last = setup.items.len() - 1;
        // Whether the whole speaks is decided by its last part, which starts the machine.
        let speaks = self.join || !self.provision.is_empty();
        let until = || match (&self.until, speaks) {
            (None, true) => Some(Until::Online {
                within_s: super::orders::ONLINE_WITHIN_S,
                probe: None,
            }),
            (until, _) => until.clone(),
        };
        let orders: Result<Vec<Order>, OrderError> = (0..)
            .zip(&setup.items)
            .map(|(n, item)| {
                let spec = OrderSpec {
                    disk: item.disk.clone(),
                    image: Some(item.image.clone()),
                    partition: item.partition.clone(),
                    grow: item.grow,
                    provision: if n == 0 {
                        self.provision.clone()
                    } else {
                        Vec::new()
                    },
                    after: if n == last { self.after } else { After::Stay },
                    until: if n == last {
                        until()
                    } else {
                        Some(Until::HandedOver)
                    },
                    when: self.when,
                    ..OrderSpec::default()
                };
                spec.pin(view, machine)
            })
            .collect();
        let mut orders = orders?;
        if self.join {
            let online = matches!(orders[last].until, Until::Online { .. });
            if !online || matches!(self.after, After::PowerOff | After::Stay) {
                return Err(OrderError::NobodyJoins.into());
            }
            orders[0].join = true;
        }
        one_disk_each(view, machine, &orders)?;
        Ok(orders)
    }

    fn jobs(
        &self,
        view: &View,
        machine: &Machine,
        orders: Vec<Order>,
        now: Timestamp,
    ) -> Vec<Deployment> {
        let draw = Draw {
            machine: &machine.id,
            by: &self.by,
            now,
        };
        let (run, count) = (view.next_deployment(), orders.len() as u16);
        let numbered = (0..).zip(orders);
        let jobs = numbered.map(|(index, order)| {
            let part = Part::Setup {
                setup: self.setup.clone(),
                run,
                index,
                count,
            };
            let id = DeploymentId(run.0 + u64::from(index));
            draw.job(id, nth(&self.nonce, index.into()), order, Some(part))
        });
        jobs.collect()
    }
}

/// Rules that are bound to disks are equal when they mean the same one.
fn one_disk_each(view: &View, machine: &Machine, orders: &[Order]) -> Result<(), DeployError> {
    if view.facts(&machine.id).is_none() {
        // The agent sees the disks, and each part names its own rule.
        return Ok(());
    }
    let place = |o: &Order| Place(o.disk.clone(), o.partition.clone());
    let places: Vec<Place> = orders.iter().map(place).collect();
    let lost = |n: usize| places[..n].iter().any(|before| places[n].destroys(before));
    if (0..places.len()).any(lost) {
        return Err(DeployError::SameDisk(machine.name.to_string()));
    }
    Ok(())
}

/// The nonce of part `n` of something that was asked for with one.
pub(super) fn nth(nonce: &Nonce, n: u64) -> Nonce {
    if n == 0 {
        return nonce.clone();
    }
    nonce.derived(&format!("part {n}"))
}
