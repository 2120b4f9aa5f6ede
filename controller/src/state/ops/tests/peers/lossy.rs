//! Messages between the sites are lost and doubled, and either side is cut off between any two of its transitions.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::*;

/// Whatever is lost, doubled or cut off between the transitions (each of which is kept whole or not at all), the machine has
/// booted the config to its end at most once, and both sites agree about it in the end.
#[test]
fn lost_and_doubled_messages_never_make_two_boots_of_one_config() {
    for seed in 0..300 {
        let mut dice = StdRng::seed_from_u64(seed);
        let (mut a, mut b) = sites();
        let armed = b.arms(1, |_| {}, Kind::OneShot);
        let mut ended = 0;
        for n in 0..40u32 {
            let lost = |dice: &mut StdRng| dice.random_bool(0.3);
            match dice.random_range(0..5) {
                0 if !lost(&mut dice) => b.names_to("site-b", &mut a, "site-a"),
                1 => {
                    // A boot: the claim, its answer, the script, a file, the callback; cut off anywhere.
                    let session = format!("s{n}");
                    if a.plans(card(1)).plan == BootPlan::AskPeers
                        && !lost(&mut dice)
                        && let Ok(grant) = b.grants("site-a", 1, &session)
                        && !lost(&mut dice)
                    {
                        let _refused = a.adopts("site-b", 1, &grant);
                    }
                    if !lost(&mut dice)
                        && matches!(a.serves(1, &session), BootPlan::Config(_))
                        && !lost(&mut dice)
                        && matches!(a.fetches(&armed.nonce, &session), FetchAnswer::Asset(..))
                        && !lost(&mut dice)
                    {
                        ended += 1;
                        a.calls_back(&armed.nonce, None);
                    }
                }
                2 | 3 => {
                    for told in a.to_tell() {
                        if !lost(&mut dice) && b.hears("site-a", &told) && !lost(&mut dice) {
                            a.does(&Told(told.nonce));
                        }
                    }
                }
                _ => {}
            }
        }
        assert!(ended <= 1, "seed {seed}: {ended} boots came to their end");
        for told in a.to_tell() {
            assert!(b.hears("site-a", &told), "seed {seed}");
        }
        let (at_b, at_a) = (
            b.activation(&armed.nonce),
            a.view.activation_by_nonce(&armed.nonce),
        );
        let closed_at_a = at_a.is_some_and(|x| !x.is_open());
        assert_eq!(closed_at_a, !at_b.is_open(), "seed {seed}: {at_b:?}");
        if ended == 1 {
            assert_eq!(at_b.stage, Stage::Confirmed, "seed {seed}");
        }
    }
}
