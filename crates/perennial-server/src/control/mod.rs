//! The control socket: a running server is commanded by the same system user.
//!
//! A [`Command`] goes to the server over `DIR/control.sock`, or, where none runs, is done right here under the
//! data folder's lock. Either way [`Admin::execute`] does it.

mod admin;
mod command;
mod registry;
mod remote;
mod socket;

pub use admin::Admin;
pub use command::{AccountView, Answer, ClientView, Command, CommandError};
pub use registry::ClientRegistry;
pub use remote::{ExecuteError, execute};
pub use socket::SocketError;

pub(crate) use socket::bind;
