//! How long datagrams are.

use std::fmt;
use std::str::FromStr;

use rand::RngExt;
use rand::rngs::StdRng;
use serde::Serialize;

use super::forwarder::{HEADER_LEN, TAG_LEN};

/// The shortest datagram: its header, its tag, and a byte.
const LEN_MIN: usize = HEADER_LEN + TAG_LEN + 1;

/// The largest datagram that goes over Ethernet whole.
const LEN_MAX: usize = 1472;

/// The lengths of datagrams in bytes: all from the least to the most are as likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lens {
    /// The least.
    pub min: usize,
    /// The most.
    pub max: usize,
}

impl Lens {
    /// One of them.
    pub(super) fn draw(self, random: &mut StdRng) -> usize {
        random.random_range(self.min..=self.max)
    }
}

impl FromStr for Lens {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        match (min.parse(), max.parse()) {
            (Ok(min), Ok(max)) if LEN_MIN <= min && min <= max && max <= LEN_MAX => Ok(Self { min, max }),
            _ => Err(format!(
                "a datagram has {LEN_MIN} to {LEN_MAX} bytes; the lengths of several are told as in 100-160"
            )),
        }
    }
}

impl fmt::Display for Lens {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { min, max } if min == max => write!(out, "{max} B"),
            Self { min, max } => write!(out, "{min} to {max} B"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn lengths_are_one_or_between_two_and_what_can_be_sent() {
        assert_eq!("130".parse(), Ok(Lens { min: 130, max: 130 }));
        assert_eq!("100-160".parse(), Ok(Lens { min: 100, max: 160 }));
        for text in ["28", "1473", "160-100", "100-", "-", "100-1473", "x"] {
            assert!(text.parse::<Lens>().unwrap_err().contains("29 to 1472"), "{text}");
        }
    }

    #[test]
    fn all_lengths_are_drawn() {
        let mut random = StdRng::seed_from_u64(1);
        let mut drawn: Vec<_> = (0..200).map(|_| Lens { min: 100, max: 103 }.draw(&mut random)).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn, [100, 101, 102, 103]);
    }
}
