//! The E-model (ITU-T G.107): from delay and loss to a rating, and from that to a mean opinion score.
//!
//! What the tool can't know (noise, levels) has the recommendation's default values, which all lie in [`RATING_BASIC`]; echo
//! is taken to be cancelled, so Idte and Idle are 0. The codec is rated like G.711 with loss concealment: G.113 has no values for Opus.

/// R with all default values and no delay, loss or low-rate codec (G.107 7.7, Table 3).
pub const RATING_BASIC: f64 = 93.2;
/// Below it delay does no harm (G.107 7.4, Idd), in milliseconds.
pub const DELAY_HARMLESS_MS: f64 = 100.0;
/// Ie: the codec's own impairment (G.113 Appendix I: G.711).
pub const CODEC_IMPAIRMENT: f64 = 0.0;
/// Bpl: how well the codec stands random loss (G.113 Appendix I: G.711 with packet loss concealment).
pub const LOSS_ROBUSTNESS: f64 = 25.1;
/// BurstR: 1 stands for random loss (G.107 7.5).
pub const BURST_RATIO: f64 = 1.0;
/// A packet's share of time, which a sender waits before it has it, in milliseconds.
pub const PACKETIZATION_MS: f64 = 20.0;
/// The receiver's buffer is taken to hold this many times the jitter (the usual rule for adaptive buffers).
pub const BUFFER_JITTERS: f64 = 2.0;

/// The delay from mouth to ear, for a network way and a jitter in milliseconds.
pub fn mouth_to_ear_ms(network_ms: f64, jitter_ms: f64) -> f64 {
    PACKETIZATION_MS + network_ms + BUFFER_JITTERS * jitter_ms
}

/// The rating R for a delay from mouth to ear and a share of lost packets, 0 to 1.
pub fn rating(mouth_to_ear_ms: f64, loss: f64) -> f64 {
    let lost_percent = 100.0 * loss.clamp(0.0, 1.0);
    let loss_impairment =
        CODEC_IMPAIRMENT + (95.0 - CODEC_IMPAIRMENT) * lost_percent / (lost_percent / BURST_RATIO + LOSS_ROBUSTNESS);
    RATING_BASIC - delay_impairment(mouth_to_ear_ms) - loss_impairment
}

/// Idd (G.107 7.4).
fn delay_impairment(delay_ms: f64) -> f64 {
    if delay_ms <= DELAY_HARMLESS_MS {
        return 0.0;
    }
    let x = (delay_ms / DELAY_HARMLESS_MS).log2();
    25.0 * ((1.0 + x.powi(6)).powf(1.0 / 6.0) - 3.0 * (1.0 + (x / 3.0).powi(6)).powf(1.0 / 6.0) + 2.0)
}

/// The mean opinion score of a rating (G.107 Annex B).
pub fn mean_opinion_score(rating: f64) -> f64 {
    match rating {
        rating if rating <= 0.0 => 1.0,
        rating if rating >= 100.0 => 4.5,
        rating => (1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6).max(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_recommendation() {
        // G.107 Annex B: the default rating gives 4.41; Table B.1 has R 90, 80, 70, 60, 50 at 4.34, 4.03, 3.60, 3.10,
        // 2.58.
        for (rating, score) in [(93.2, 4.41), (90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            assert!((mean_opinion_score(rating) - score).abs() < 0.007, "{rating}: {}", mean_opinion_score(rating));
        }
        assert_eq!((mean_opinion_score(-5.0), mean_opinion_score(120.0)), (1.0, 4.5));
    }

    #[test]
    fn delay_harms_past_a_tenth_of_a_second_and_loss_at_once() {
        assert_eq!(rating(100.0, 0.0), RATING_BASIC);
        // Idd at 200 ms is 3.0 and at 400 ms 24.1: X is 1 and 2.
        assert!((RATING_BASIC - rating(200.0, 0.0) - 3.0).abs() < 0.1);
        assert!((RATING_BASIC - rating(400.0, 0.0) - 24.1).abs() < 0.3);
        // Five in a hundred lost: 95 × 5 / (5 + 25.1).
        assert!((RATING_BASIC - rating(0.0, 0.05) - 15.78).abs() < 0.01);
    }
}
