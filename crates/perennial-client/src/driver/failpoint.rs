//! Places where a crash test can make the process die. Compiled to nothing without the feature `failpoints`.

/// The places, in the order in which a refresh passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failpoint {
    BeforeKeyStored,
    AfterKeyStored,
    BeforeSend,
    AfterReceive,
    BeforeTokensStored,
    AfterTokensStored,
}

/// Dies here, without unwinding or cleaning up, if `PERENNIAL_FAILPOINT` names this place.
#[cfg(feature = "failpoints")]
pub(crate) fn pass(place: Failpoint) {
    let name = match place {
        Failpoint::BeforeKeyStored => "before_key_stored",
        Failpoint::AfterKeyStored => "after_key_stored",
        Failpoint::BeforeSend => "before_send",
        Failpoint::AfterReceive => "after_receive",
        Failpoint::BeforeTokensStored => "before_tokens_stored",
        Failpoint::AfterTokensStored => "after_tokens_stored",
    };
    if std::env::var("PERENNIAL_FAILPOINT").is_ok_and(|wanted| wanted == name) {
        std::process::abort();
    }
}

#[cfg(not(feature = "failpoints"))]
pub(crate) fn pass(_place: Failpoint) {}
