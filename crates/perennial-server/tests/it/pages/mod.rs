//! The pages as a browser meets them: over the real routes, with cookies, forms and redirects.

mod accounts;
mod appearance;
mod authorize;
mod browser;
mod consent;
mod csrf;
mod random;
mod sign_in;
mod sign_out;
mod site;
mod trouble;
