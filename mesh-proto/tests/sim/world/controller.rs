//! What the controller does with its links: greets, passes verdicts on, compares views.

use std::time::Duration;

use mesh_proto::message::link::Verdict;

use super::{Condition, What, World};
use crate::{
    links::{self, Found, Frame, LOOK, Links},
    node::identity,
};

impl World {
    /// The controller looks at its links.
    pub(super) fn look(&mut self) {
        self.put(self.now + LOOK, What::Look);
        let Some(mut links) = self.links.take() else {
            return;
        };
        if self.hosts[0].condition == Condition::Running {
            for at in 1..self.hosts.len() {
                let host = &self.hosts[at];
                let reachable =
                    host.condition == Condition::Running && host.side == self.hosts[0].side;
                match links.look(self.now, at, reachable, self.loss, &mut self.rng) {
                    Found::Nothing => {}
                    Found::Greeted(generation) => self.send_frame(at, Frame::Welcome(generation)),
                    Found::Gone(verdict) => self.pass_verdict(&links, &verdict),
                }
            }
        }
        self.links = Some(links);
    }

    fn pass_verdict(&mut self, links: &Links, verdict: &Verdict) {
        if let Some(controller) = self.hosts[0].node.ours() {
            controller.apply_verdict(self.now, verdict);
            self.drain(0);
        }
        for at in (1..self.hosts.len()).filter(|at| links.is_up(*at)) {
            self.send_frame(at, Frame::Verdict(verdict.clone()));
        }
    }

    pub(super) fn send_frame(&mut self, to: usize, frame: Frame) {
        let late = links::lateness(self.loss, &mut self.rng);
        self.frame(to, self.now + late, frame);
    }

    pub(super) fn handle_frame(&mut self, at: usize, frame: Frame) {
        let now = self.now;
        let Some(member) = self.hosts[at].node.ours() else {
            return;
        };
        match frame {
            Frame::Welcome(generation) => {
                let _overtaken = member.set_generation(now, generation);
                member.join(now, &[identity(0, 1)]);
                self.swap(at, generation);
            }
            Frame::Verdict(verdict) => {
                member.apply_verdict(now, &verdict);
            }
            Frame::Swap(link) => self.swap(at, link),
        }
    }

    /// The member's turn to compare views: digests first, both lists only when they differ.
    fn swap(&mut self, at: usize, link: u32) {
        let (now, Some(mut links)) = (self.now, self.links.take()) else {
            return;
        };
        let current = links.is_up(at) && links.all[at].generation == link;
        if current && self.hosts[0].condition == Condition::Running {
            let verdict = self.compare(at, &mut links);
            let late = links::lateness(self.loss, &mut self.rng);
            if let Some(clock) = &mut links.all[at].swaps {
                match verdict {
                    Ok(()) => clock.done(now),
                    Err(after) => clock.later(now, after),
                }
                let due = clock.next() + late;
                self.frame(at, due, Frame::Swap(link));
            }
        }
        self.links = Some(links);
    }

    fn compare(&mut self, at: usize, links: &mut Links) -> Result<(), Duration> {
        let now = self.now;
        let [controller, member] = self.hosts.get_disjoint_mut([0, at]).unwrap();
        let (controller, member) = (controller.node.ours().unwrap(), member.node.ours().unwrap());
        if controller.state_digest() == member.state_digest() {
            links.all[at].swapped = true;
            return Ok(());
        }
        match links.all[at].swapped {
            true => links.budget.admit(now)?,
            false => links.budget.admit_joining(now)?,
        }
        links.all[at].swapped = true;
        links.full_swaps += 1;
        member.merge(now, &controller.state(now));
        controller.merge(now, &member.state(now));
        self.drain(0);
        Ok(())
    }
}
