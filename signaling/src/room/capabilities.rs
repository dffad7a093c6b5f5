//! What receivers can do, kept once for all that can do the same: two browsers of one version say the same twenty codecs.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use crate::negotiation::RtpCapabilities;

/// Different ones that are remembered: the browsers of the day, in their versions, and a few native clients. With more,
/// those that were made first have a copy each.
const KNOWN_MAX: usize = 64;

/// The capabilities of those who are there.
#[derive(Default)]
pub(super) struct SharedCapabilities {
    known: VecDeque<Weak<RtpCapabilities>>,
}

impl SharedCapabilities {
    /// The same capabilities, in one place with all that are equal.
    pub(super) fn share(&mut self, capabilities: RtpCapabilities) -> Arc<RtpCapabilities> {
        self.known.retain(|known| known.strong_count() > 0);
        let mut living = self.known.iter().filter_map(Weak::upgrade);
        if let Some(known) = living.find(|known| **known == capabilities) {
            return known;
        }
        if self.known.len() == KNOWN_MAX {
            self.known.pop_front();
        }
        let shared = Arc::new(capabilities);
        self.known.push_back(Arc::downgrade(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::negotiation::router_capabilities;

    /// Capabilities of which no two are equal.
    fn capabilities(clock_rate: u32) -> RtpCapabilities {
        let mut capabilities = router_capabilities().clone();
        capabilities.codecs[0].clock_rate = clock_rate;
        capabilities
    }

    #[test]
    fn equal_ones_are_one_as_long_as_somebody_has_them() {
        let mut shared = SharedCapabilities::default();
        let (first, second) = (shared.share(capabilities(1)), shared.share(capabilities(2)));
        assert!(Arc::ptr_eq(&first, &shared.share(capabilities(1))) && first != second);
        drop(first);
        let _second = shared.share(capabilities(2));
        assert_eq!(shared.known.len(), 1);
    }

    #[test]
    fn who_says_something_new_with_each_join_makes_no_list_grow() {
        let mut shared = SharedCapabilities::default();
        let all: Vec<_> = (0..2 * KNOWN_MAX as u32).map(|rate| shared.share(capabilities(rate))).collect();
        assert_eq!(shared.known.len(), KNOWN_MAX);
        assert!(Arc::ptr_eq(&all[2 * KNOWN_MAX - 1], &shared.share(capabilities(2 * KNOWN_MAX as u32 - 1))));
    }
}
