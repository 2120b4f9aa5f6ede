//! Whole clusters in virtual time, seeded: the mesh's promises. A claim is a function of what the cluster is made of; ours
//! must keep it, and foca as it comes must break it, or the claim proves nothing.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails here fails the test"
)]

mod links;
mod node;
mod stock;
mod world;

use std::time::Duration;

use node::Kind;
use world::World;

/// What went wrong, in words.
type Verdict = Result<(), String>;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Ours keeps the claim whatever the seed, the stock behaviour does not.
fn check(seeds: u64, claim: impl Fn(Kind, u64) -> Verdict) {
    for seed in 0..seeds {
        assert_eq!(claim(Kind::Ours, seed), Ok(()), "seed {seed}");
    }
    let broken = (0..seeds).find_map(|seed| claim(Kind::Stock, seed).err());
    let broken = broken.expect("the claim holds without any of our work");
    println!("stock: {broken}");
}

/// An error unless it happened in time.
fn within(most: Duration, what: &str, took: Option<Duration>) -> Verdict {
    match took {
        Some(took) if took <= most => Ok(()),
        Some(took) => Err(format!("{what} took {took:?}")),
        None => Err(format!("{what} took longer than {most:?}")),
    }
}

fn none(what: &str, count: usize) -> Verdict {
    (count == 0).then_some(()).ok_or(format!("{count} {what}"))
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = |seed| {
        let mut world = World::settled_but(Kind::Sealed, 30, 2, seed);
        world.loss = 0.1;
        world.switch_on(28);
        world.run(seconds(5));
        world.kill(7);
        world.pause(8);
        world.run(seconds(8));
        world.resume(8);
        world.cut(9, 1);
        world.run(seconds(15));
        (world.story(), world.datagrams, world.noticed.len())
    };
    assert_eq!(story(1), story(1));
    assert_ne!(story(1).0, story(2).0);
}

#[test]
fn a_join_is_known_everywhere_within_five_seconds() {
    check(3, |kind, seed| {
        for loss in [0.0, 0.05] {
            let mut world = World::settled_but(kind, 105, 5, seed);
            world.loss = loss;
            for newcomer in 100..105 {
                world.switch_on(newcomer);
                let took = world.run_until(seconds(5), |world| world.wrong_views() == 0);
                within(seconds(5), "a join", took)?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_death_is_known_everywhere_in_time() {
    let deaths = |kind, seed, loss, most| {
        let mut world = World::settled(kind, 100, seed);
        world.loss = loss;
        world.run(seconds(5));
        for dead in 95..100 {
            world.kill(dead);
            let took = world.run_until(most, |world| world.wrong_views() == 0);
            within(most, &format!("a death at {loss} loss"), took)?;
        }
        none("living were thought dead", world.false_downs(|at| at < 95))
    };
    check(3, |kind, seed| {
        deaths(kind, seed, 0.0, seconds(13))?;
        deaths(kind, seed, 0.05, seconds(13))
    });
    check(3, |kind, seed| deaths(kind, seed, 0.25, seconds(20)));
}

#[test]
fn nobody_is_falsely_down_in_ten_minutes_at_a_quarter_of_loss() {
    check(2, |kind, seed| {
        let mut world = World::settled(kind, 100, seed);
        world.loss = 0.25;
        for _minute in 0..10 {
            world.run(seconds(60));
            none("living were thought dead", world.false_downs(|_| true))?;
        }
        Ok(())
    });
}

#[test]
fn a_thousand_members_keep_full_views_at_five_percent_loss() {
    check(1, |kind, seed| {
        let mut world = World::settled_but(kind, 1_002, 2, seed);
        world.loss = 0.05;
        world.run(seconds(5));
        world.switch_on(1_000);
        world.switch_on(1_001);
        for _ in 0..3 {
            world.run(seconds(5));
            none("living were thought dead", world.false_downs(|_| true))?;
        }
        none("pairs do not know each other", world.wrong_views())
    });
}

#[test]
fn a_cut_network_is_whole_again_soon_after_it_heals() {
    check(3, |kind, seed| {
        for loss in [0.0, 0.05] {
            let mut world = World::settled(kind, 100, seed);
            world.loss = loss;
            (60..100).for_each(|at| world.cut(at, 1));
            world.run(seconds(60));
            assert!(world.wrong_views() > 4_000, "each side gave up the other");
            (60..100).for_each(|at| world.cut(at, 0));
            let took = world.run_until(seconds(40), |world| world.wrong_views() == 0);
            within(seconds(40), "healing", took)?;
        }
        Ok(())
    });
}

#[test]
fn a_member_that_pauses_for_eight_seconds_is_down_for_nobody() {
    check(3, |kind, seed| {
        for loss in [0.0, 0.05] {
            let mut world = World::settled(kind, 100, seed);
            world.loss = loss;
            for paused in 50..55 {
                world.pause(paused);
                world.run(seconds(8));
                world.resume(paused);
                world.run(seconds(20));
                none("living were thought dead", world.false_downs(|_| true))?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_room_that_is_switched_on_at_once_ends_in_full_views_twenty_times_of_twenty() {
    check(20, |kind, seed| {
        let mut world = World::new(kind, 100, seed);
        world.loss = 0.01;
        (0..100).for_each(|at| world.switch_on(at));
        let took = world.run_until(seconds(20), |world| world.wrong_views() == 0);
        within(seconds(20), "the start", took)?;
        none("living were thought dead", world.false_downs(|_| true))
    });
}

#[test]
fn an_idle_member_of_a_hundred_leaves_room_for_its_link_below_400_bytes_a_second() {
    const UDP_AND_IP: u64 = 28;
    /// A keep-alive or its answer each 2 s, and a swap of digests each 15 s, as counted on the wire.
    const LINK: u64 = 70;
    let mut world = World::settled(Kind::Sealed, 100, 9);
    world.run(seconds(5));
    let (datagrams, bytes) = (world.datagrams, world.bytes);
    world.run(seconds(120));
    let sent = world.bytes - bytes + UDP_AND_IP * (world.datagrams - datagrams);
    let each = sent / 120 / 100;
    assert!(each + LINK <= 400, "{each} B/s of gossip");
    assert_eq!(world.full_swaps(), 0, "equal views are not sent");
}
