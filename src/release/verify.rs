//! Verifies a release as its consumer: whether it is complete, as published, and signed by a trusted key.

mod verification;
mod digesting_files;
mod file_check;
mod release_check;
mod row_check;

pub use release_check::verify;
pub use row_check::verify_rows;
pub use verification::{ReleaseProblem, ReleaseRemedy, ReleaseVerification, ReleaseVerifyProgress, VerifyScope};
