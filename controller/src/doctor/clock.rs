//! The clock, against what must be before now: this program's making, and the newest thing the controller wrote down.

use std::fs;

use super::{Controller, Findings, Grade};
use crate::{config::Config, state::Timestamp};

/// No program of this version ran before; boards without a battery begin in 1970 or when their image was made.
/// Seconds since 1970: 2026-01-01.
const BUILT_S: i64 = 1_767_225_600;
/// Less than this is two clocks that differ a little, seconds.
const SLACK_S: i64 = 60;
const CURE: &str =
    "set the clock, or let NTP set it (`timedatectl set-ntp true`); certificates are issued by it";

pub(super) fn look(config: &Config, controller: &Controller, now: Timestamp, found: &mut Findings) {
    if now.as_second() < BUILT_S {
        let text = format!("it is {now} here, and this program was made later");
        return found.add(Grade::Problem, "clock-before-build", text, CURE);
    }
    let told = match controller {
        Controller::Answers(newest) => *newest,
        Controller::Away(_) => None,
    };
    let newest = told.max(written(config));
    match newest.filter(|newest| newest.as_second() > now.as_second() + SLACK_S) {
        Some(newest) => {
            let text =
                format!("it is {now} here, and the controller wrote something down at {newest}");
            found.add(Grade::Problem, "clock-behind", text, CURE);
        }
        None => found.good("clock", format!("{now}, after all that is written down")),
    }
}

/// When the database was written last.
fn written(config: &Config) -> Option<Timestamp> {
    let file = fs::metadata(config.state.join("enforcer.redb")).ok()?;
    Timestamp::try_from(file.modified().ok()?).ok()
}
