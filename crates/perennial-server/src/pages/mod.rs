//! The pages that people see: sign-in, consent, signed out, errors.
