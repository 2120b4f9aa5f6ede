//! The index of Consul's blocking queries: what to wait behind, by the rules of Consul's API page "Blocking Queries".

/// Where a blocking query waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Index(u64);

impl Index {
    /// The `index` of the next question; `None`: answer at once.
    pub(super) fn ask(self) -> Option<u64> {
        (self.0 > 0).then_some(self.0)
    }

    /// An answer came with this `X-Consul-Index`. One that went backwards (a restored snapshot) starts anew; one that is zero, missing
    /// or no number is taken as 1, since waiting behind 0 does not wait.
    #[must_use]
    pub(super) fn answered(self, header: Option<&str>) -> Self {
        let told = header.and_then(|text| text.trim().parse().ok());
        let told: u64 = told.unwrap_or(0).max(1);
        Self(if told < self.0 { 0 } else { told })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_waited_behind_unless_it_goes_backwards() {
        for (was, header, next) in [
            (0, Some("7"), Some(7)),
            (7, Some("7"), Some(7)),
            (7, Some("900"), Some(900)),
            (900, Some("7"), None),
            (0, Some("0"), Some(1)),
            (0, None, Some(1)),
            (0, Some("-3"), Some(1)),
            (9, Some("x"), None),
            (0, Some("18446744073709551615"), Some(u64::MAX)),
        ] {
            assert_eq!(Index(was).answered(header).ask(), next, "{was} {header:?}");
        }
    }
}
