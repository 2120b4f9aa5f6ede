//! Membership between a few nodes on a network without loss or delay: what each verb promises.

mod net;

use std::time::Duration;

use mesh_proto::{
    identity::{NodeId, Role},
    membership::{Applied, Event, MAX_MEMBERS, MemberState, Membership, Refused},
    message::link::{Entry, EntryState, Verdict, VerdictState},
};

use net::{Net, identity, start};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn nodes_that_know_only_the_seed_find_each_other() {
    let mut net = Net::new(10);
    net.run(3 * SECOND);
    for node in &net.nodes {
        assert_eq!(node.active(), 9);
        assert_eq!(node.state_digest(), net.nodes[0].state_digest());
    }
    assert_eq!(net.nodes[3].counters().faults, 0);
    let events = net.events(1);
    assert!(events.contains(&Event::Joined));
    assert!(events.contains(&Event::Up(identity(9))));
}

#[test]
fn a_verdict_takes_exactly_the_generation_it_names() {
    let mut net = Net::new(4);
    net.run(3 * SECOND);
    let (now, verdict) = (net.now, |generation, state| Verdict {
        node: NodeId(2),
        generation,
        state,
    });
    let member = &mut net.nodes[1];
    assert_eq!(
        member.apply_verdict(now, &verdict(2, VerdictState::Down)),
        Applied::NotMeant
    );
    assert_eq!(
        member.apply_verdict(now, &verdict(1, VerdictState::Left)),
        Applied::Now
    );
    assert_eq!(
        member.apply_verdict(now, &verdict(1, VerdictState::Left)),
        Applied::Already
    );
    assert_eq!(net.state(2, 1), Some(MemberState::Left));
    assert!(net.events(1).contains(&Event::Down(identity(2))));
    let ourselves = Verdict {
        node: NodeId(1),
        generation: 1,
        state: VerdictState::Down,
    };
    assert_eq!(
        net.nodes[1].apply_verdict(now, &ourselves),
        Applied::NotMeant
    );
}

#[test]
fn a_member_that_is_falsely_down_comes_back_by_itself() {
    let mut net = Net::new(5);
    net.run(3 * SECOND);
    let verdict = Verdict {
        node: NodeId(2),
        generation: 1,
        state: VerdictState::Down,
    };
    let now = net.now;
    net.nodes[1].apply_verdict(now, &verdict);
    net.run(3 * SECOND);
    assert_eq!(net.state(2, 1), Some(MemberState::Alive));
    let late = net.nodes[1].apply_verdict(net.now, &verdict);
    assert_eq!(late, Applied::NotMeant, "it has shown that it lives");
    net.run(7 * SECOND);
    assert_eq!(net.state(2, 1), Some(MemberState::Alive));
    assert_eq!(net.nodes[2].identity().renewals, 1);
    assert!(
        net.events(2)
            .iter()
            .any(|e| matches!(e, Event::RenewedOurselves(_)))
    );
}

#[test]
fn a_new_generation_is_a_new_life_that_everybody_hears_of() {
    let mut net = Net::new(5);
    net.run(3 * SECOND);
    let now = net.now;
    net.nodes[3].announce_facts(now, [1; 16]);
    net.run(3 * SECOND);
    let now = net.now;
    net.nodes[3].set_generation(now, 7).expect("newer");
    assert!(net.nodes[3].set_generation(now, 6).is_err());
    net.run(3 * SECOND);
    for at in [0, 1, 2, 4] {
        let members = net.nodes[at].members(net.now);
        let found = members
            .iter()
            .find(|m| m.identity.node == NodeId(3))
            .expect("known");
        assert_eq!(
            (found.identity.generation, found.state),
            (7, MemberState::Alive)
        );
        assert_eq!(
            found.facts.expect("noted").generation,
            7,
            "facts are told anew"
        );
    }
    assert_eq!(net.nodes[3].active(), 4);
}

#[test]
fn a_member_that_moved_is_found_at_its_new_address() {
    let mut net = Net::new(5);
    net.run(3 * SECOND);
    let (now, addr) = (net.now, ([10, 9, 9, 9], 4849).into());
    net.nodes[3].set_addr(now, addr);
    net.run(3 * SECOND);
    let members = net.nodes[1].members(net.now);
    let moved = members
        .iter()
        .find(|m| m.identity.node == NodeId(3))
        .expect("known");
    assert_eq!(
        (moved.identity.addr, moved.state),
        (addr, MemberState::Alive)
    );
    net.nodes[3].set_addr(now, addr);
    assert_eq!(
        net.nodes[3].identity().renewals,
        1,
        "the same address again is nothing new"
    );
}

#[test]
fn who_leaves_is_gone_and_can_come_back() {
    let mut net = Net::new(5);
    net.run(3 * SECOND);
    let now = net.now;
    net.nodes[2].leave(now);
    net.run(3 * SECOND);
    for at in [0, 1, 3, 4] {
        assert_eq!(net.state(2, at), Some(MemberState::Down));
    }
    assert!(!net.events(2).contains(&Event::Expelled));
    // What the others say about it does not bring it back, nor does its own habit of asking the seeds.
    let (now, told) = (net.now, net.nodes[1].state(net.now));
    net.nodes[2].merge(now, &told);
    net.nodes[2].join(now, &[identity(0)]);
    net.run(30 * SECOND);
    assert_eq!(net.state(2, 4), Some(MemberState::Down));
    assert_eq!(net.nodes[2].identity(), &identity(2));
    let now = net.now;
    net.nodes[2].set_generation(now, 2).expect("newer");
    net.run(5 * SECOND);
    assert_eq!(net.state(2, 4), Some(MemberState::Alive));
}

#[test]
fn facts_are_known_everywhere_and_the_newest_wins() {
    let mut net = Net::new(6);
    net.run(3 * SECOND);
    let now = net.now;
    for digest in [[1; 16], [2; 16]] {
        net.nodes[5].announce_facts(now, digest);
    }
    net.run(3 * SECOND);
    for at in 0..5 {
        let members = net.nodes[at].members(net.now);
        let note = members
            .iter()
            .find(|m| m.identity.node == NodeId(5))
            .and_then(|m| m.facts);
        let note = note.expect("noted");
        assert_eq!((note.revision, note.digest), (2, [2; 16]));
        assert!(net.events(at).contains(&Event::Facts(note)));
    }
}

#[test]
fn a_swap_tells_each_what_the_other_knows() {
    let now = start();
    let [mut a, mut b] = [1, 2].map(|id| Membership::new(now, identity(id), [id as u8; 32]));
    let entry = |node: u64, state| Entry {
        node: NodeId(node),
        generation: 1,
        renewals: 0,
        addr: identity(node).addr,
        role: Role::Agent,
        incarnation: 0,
        state,
    };
    a.merge(
        now,
        &[entry(3, EntryState::Alive), entry(4, EntryState::Alive)],
    );
    b.merge(
        now,
        &[entry(4, EntryState::Down), entry(5, EntryState::Alive)],
    );
    assert_ne!(a.state_digest(), b.state_digest());
    a.merge(now, &b.state(now));
    b.merge(now, &a.state(now));
    assert_eq!(a.state_digest(), b.state_digest());
    let active = |m: &Membership| {
        let members = m.members(now);
        let there = members.iter().filter(|m| m.state.is_active());
        there.map(|m| m.identity.node.0).collect::<Vec<_>>()
    };
    assert_eq!(active(&a), [2, 3, 5]);
    assert_eq!(active(&b), [1, 3, 5]);
    assert_eq!(a.merge(now, &b.state(now)).news, 0, "nothing is news twice");
}

#[test]
fn the_list_is_bounded_by_gossip_and_swap_alike() {
    let now = start();
    let mut crowd = Membership::new(now, identity(1), [1; 32]);
    let entries: Vec<_> = (2..MAX_MEMBERS as u64 + 100)
        .map(|node| Entry {
            node: NodeId(node),
            generation: 1,
            renewals: 0,
            addr: identity(node).addr,
            role: Role::Agent,
            incarnation: 0,
            state: EntryState::Alive,
        })
        .collect();
    let merged = crowd.merge(now, &entries);
    assert_eq!((merged.news, merged.dropped), (MAX_MEMBERS, 98));
    let mut stranger = Membership::new(now, identity(60_000), [2; 32]);
    stranger.join(now, &[identity(1)]);
    let (_, announce) = stranger.poll_transmit().expect("an announcement");
    assert_eq!(crowd.handle_datagram(now, &announce), Err(Refused::Full));

    // A member we know tells us about one that we do not.
    let mut member = Membership::new(now, identity(2), [3; 32]);
    member.merge(now, &[Entry::from(&foca::Member::alive(identity(1)))]);
    member.merge(now, &[Entry::from(&foca::Member::alive(identity(60_001)))]);
    let mut at = now;
    for _ in 0..20 {
        at = member.poll_timeout().expect("probes and gossip").max(at);
        member.handle_timeout(at);
    }
    while let Some((to, packet)) = member.poll_transmit() {
        if to == identity(1).addr {
            crowd.handle_datagram(at, &packet).expect("a good packet");
        }
    }
    assert_eq!(crowd.members(at).len(), MAX_MEMBERS);
    assert!(crowd.counters().strangers > 98, "{:?}", crowd.counters());
    assert!(crowd.active() == MAX_MEMBERS);
}

#[test]
fn whoever_was_stopped_does_not_blame_the_others() {
    let mut net = Net::new(6);
    net.run(3 * SECOND);
    // Node 1 loses all its packets until it suspects some, then is stopped for longer than a suspicion lasts.
    net.cut[1] = true;
    net.run(8 * SECOND);
    let suspects = |net: &Net| {
        let members = net.nodes[1].members(net.now);
        members
            .iter()
            .filter(|m| m.state == MemberState::Suspect)
            .count()
    };
    assert!(suspects(&net) > 0);
    net.now += 60 * SECOND;
    let now = net.now;
    net.nodes[1].handle_timeout(now);
    assert_eq!(net.nodes[1].counters().pauses, 1);
    assert_eq!(net.nodes[1].active(), 5, "nobody was declared down");
}

#[test]
fn who_is_heard_is_not_declared_down() {
    let mut net = Net::new(4);
    net.run(3 * SECOND);
    // Nobody answers node 1, because nobody hears it: it suspects all, and none learns of it and could object.
    net.mute[1] = true;
    net.run(25 * SECOND);
    let down = |event: &Event| matches!(event, Event::Down(_));
    assert!(!net.events(1).iter().any(down));
    assert_eq!(net.nodes[1].active(), 3);
    assert!(
        net.events(2).iter().any(down),
        "but whom nobody hears is down"
    );
}

#[test]
fn a_slow_reader_is_told_that_it_missed_something() {
    let now = start();
    let mut node = Membership::new(now, identity(0), [1; 32]);
    for generation in 1..6 {
        let all = (1..1_000).map(|id| Entry {
            node: NodeId(id),
            generation,
            renewals: 0,
            addr: identity(id).addr,
            role: Role::Agent,
            incarnation: 0,
            state: EntryState::Alive,
        });
        node.merge(now, &all.collect::<Vec<_>>());
    }
    let events: Vec<_> = std::iter::from_fn(|| node.poll_event()).collect();
    assert!(events.len() < 4_100);
    assert_eq!(events.last(), Some(&Event::Lagged));
    assert!(node.counters().events_lost > 0);
}

#[test]
fn the_dead_are_forgotten_after_a_day() {
    let now = start();
    let mut node = Membership::new(now, identity(0), [1; 32]);
    let mut gone = Entry::from(&foca::Member::down(identity(7)));
    node.merge(now, std::slice::from_ref(&gone));
    node.handle_timeout(now + 60 * SECOND);
    let noticed = now + 60 * SECOND;
    assert_eq!(node.state(noticed + 599 * SECOND).len(), 2);
    assert_eq!(
        node.state(noticed + 600 * SECOND).len(),
        1,
        "no part of swaps any more"
    );
    let mut at = noticed;
    while at < noticed + 24 * 3600 * SECOND {
        assert_eq!(node.members(at).len(), 1);
        at = node.poll_timeout().expect("housekeeping");
        node.handle_timeout(at);
    }
    assert_eq!(node.members(at).len(), 0);
    gone.state = EntryState::Alive;
    node.merge(at, &[gone]);
    assert_eq!(node.active(), 1, "and its old identity may come back");
}
