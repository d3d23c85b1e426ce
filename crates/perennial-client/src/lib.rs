//! Stay signed in: a refresh engine for any OAuth server, with a tokio and reqwest driver.
