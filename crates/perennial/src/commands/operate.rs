//! Commands to a server, running or not, as one blocking call.

use perennial_server::config::Config;
use perennial_server::control::{self, Answer, Command, ExecuteError};

use super::settings::BAD_CONFIGURATION;
use super::{Failure, output};

/// Has a command done by the server on the configured data folder, or in the folder itself where none runs.
pub(crate) fn execute(config: &Config, command: Command) -> Result<Answer, Failure> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::new(format!("the system gives no threads ({error}): try again")))?;
    runtime.block_on(control::execute(config, command)).map_err(|error| {
        let code = match &error {
            ExecuteError::Open(error) if error.is_configuration() => BAD_CONFIGURATION,
            ExecuteError::Open(_)
            | ExecuteError::Refused(_)
            | ExecuteError::NoAnswer { .. }
            | ExecuteError::Command(_) => 1,
        };
        Failure::new(error.to_string()).with_code(code)
    })
}

/// An answer as JSON, on one line.
pub(crate) fn print_json(answer: &impl serde::Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string(answer)
        .map_err(|error| Failure::new(format!("the answer could not be written as JSON ({error})")))?;
    output::line(format_args!("{json}"))?;
    Ok(())
}

/// An answer to another question than was asked.
pub(crate) fn unexpected() -> Failure {
    Failure::new("the server answered something else: is it of another version? Restart it")
}

/// What was ended beside, as the end of a sentence.
pub(crate) fn ended(sessions: u32) -> String {
    match sessions {
        0 => String::new(),
        1 => "; 1 session ended".to_owned(),
        many => format!("; {many} sessions ended"),
    }
}
