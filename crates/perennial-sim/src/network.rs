//! What lies between a device and the server: messages are lost, doubled, late, overtaken and mangled.

use perennial_client::engine::{HttpAnswer, RequestId};
use perennial_core::session::{Context, Holder};
use perennial_testkit::Rng;

use crate::device::Life;
use crate::world::Faults;

/// The longest that a message is under way.
const LATEST_MS: u64 = 2 * 60 * 60 * 1_000;

/// A refresh on its way (RFC 6749, 6).
#[derive(Clone)]
pub(crate) struct Request {
    /// Who waits for the answer.
    pub(crate) from: Life,
    /// As the waiting engine names it.
    pub(crate) id: RequestId,
    /// The refresh token.
    pub(crate) token: String,
    /// The header `Idempotency-Key`, without its quotes.
    pub(crate) retry_key: Option<String>,
    /// By what else the presenter is known.
    pub(crate) holder: Holder,
    /// Where it comes from.
    pub(crate) context: Context,
}

/// After how many milliseconds each copy of a request arrives; none, and it is lost.
pub(crate) fn request_arrivals(dice: &mut Rng, faults: &Faults) -> Vec<u64> {
    if dice.chance(faults.lost_requests) {
        return Vec::new();
    }
    let copies = if dice.chance(faults.duplicates) { 2 } else { 1 };
    (0..copies).map(|_| under_way_ms(dice, faults)).collect()
}

/// After how many milliseconds an answer arrives, and as what; `None` when it is lost.
pub(crate) fn answer_arrival(
    dice: &mut Rng,
    faults: &Faults,
    answer: HttpAnswer,
) -> Option<(u64, HttpAnswer)> {
    if dice.chance(faults.lost_answers) {
        return None;
    }
    let answer = if dice.chance(faults.mangled_answers) { mangled(dice, answer) } else { answer };
    Some((under_way_ms(dice, faults), answer))
}

fn under_way_ms(dice: &mut Rng, faults: &Faults) -> u64 {
    if dice.chance(faults.delays) { up_to(dice, LATEST_MS) } else { 5 + dice.below(200) }
}

/// A span up to `most_ms`, short ones as likely as long ones: each power of two has the same share.
pub(crate) fn up_to(dice: &mut Rng, most_ms: u64) -> u64 {
    let bits = u64::from(u64::BITS - most_ms.leading_zeros());
    let ceiling = 1_u64 << dice.below(bits + 1);
    dice.below(ceiling + 1).min(most_ms)
}

fn mangled(dice: &mut Rng, mut answer: HttpAnswer) -> HttpAnswer {
    if dice.chance(50) {
        let cut = dice.index(answer.body.len());
        answer.body.truncate(cut);
        return answer;
    }
    HttpAnswer {
        status: if dice.chance(50) { 200 } else { 403 },
        content_type: Some("text/html".to_owned()),
        body: b"<html>Welcome to the station's wifi".to_vec().into(),
        ..HttpAnswer::default()
    }
}
