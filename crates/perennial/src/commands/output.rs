//! What commands print on standard output. `println!` panics when nobody reads it any more, or a disk is full.

use std::fmt;
use std::io::{self, ErrorKind, Write as _};

use super::Failure;

/// Prints a line.
///
/// # Errors
/// It could not be written. Whoever stopped reading (`perennial status | head -1`) has what they wanted: that is none.
pub(crate) fn line(line: impl fmt::Display) -> Result<(), Failure> {
    text(format_args!("{line}\n"))
}

/// Prints a text as it is.
///
/// # Errors
/// As [`line()`].
pub(crate) fn text(text: impl fmt::Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::new(format!(
            "standard output cannot be written ({error}): see where it leads, and that there is space"
        ))),
        Ok(()) | Err(_) => Ok(()),
    }
}
