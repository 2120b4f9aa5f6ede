//! What a start without the firmware comes to, act by act. Pure: how the last act went goes in, what to do next comes out.

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// Find the kernel on the disk and load it.
    Load,
    /// Have the hardware reset the machine when the kernel does not come up.
    Arm,
    /// Forget the kernel that was loaded: a restart must not start it.
    Unload,
    /// All is ready.
    Go,
    /// Go through the firmware, for this reason.
    Restart(String),
}

/// Where the preparations are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Course {
    Loading,
    Arming,
    Unloading { why: String },
    Over,
}

impl Course {
    pub(super) fn begin() -> (Self, Act) {
        (Self::Loading, Act::Load)
    }

    /// What comes after the act that went so.
    pub(super) fn then(&mut self, went: Result<(), String>) -> Act {
        let (next, act) = match (std::mem::replace(self, Self::Over), went) {
            (Self::Loading, Ok(())) => (Self::Arming, Act::Arm),
            (Self::Arming, Ok(())) => (Self::Over, Act::Go),
            // Nobody would notice a kernel that hangs.
            (Self::Arming, Err(why)) => (Self::Unloading { why }, Act::Unload),
            // A loaded kernel that stays loaded does no harm: a restart asks the firmware.
            (Self::Unloading { why }, _) | (Self::Loading, Err(why)) => {
                (Self::Over, Act::Restart(why))
            }
            (Self::Over, _) => (Self::Over, Act::Restart("it is over".to_owned())),
        };
        *self = next;
        act
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acts(went: &[Result<(), &str>]) -> Vec<Act> {
        let (mut course, first) = Course::begin();
        let mut acts = vec![first];
        for went in went {
            acts.push(course.then(went.map_err(str::to_owned)));
        }
        acts
    }

    #[test]
    fn a_kernel_is_started_only_when_it_is_loaded_and_watched() {
        assert_eq!(acts(&[Ok(()), Ok(())]), [Act::Load, Act::Arm, Act::Go]);
    }

    #[test]
    fn whatever_fails_ends_in_a_restart_with_its_reason() {
        let why = |text: &str| Act::Restart(text.to_owned());
        assert_eq!(acts(&[Err("no kernel")]), [Act::Load, why("no kernel")]);
        for unloaded in [Ok(()), Err("stuck")] {
            assert_eq!(
                acts(&[Ok(()), Err("no watchdog"), unloaded]),
                [Act::Load, Act::Arm, Act::Unload, why("no watchdog")]
            );
        }
    }
}
