//! What clients and the CA say to each other: the DTOs of the enrolment API (`/api/v1`), of the API for the bank's own
//! machines (`/machine/v1`), and the problem codes of their refusals (RFC 9457). Octets are base64url without padding
//! (RFC 4648, 5). And the documents that the one writes and the other checks: trust bundles and exported evidence.

pub mod bytes;
pub mod enrolment;
pub mod evidence;
pub mod machine;
pub mod problem;
pub mod token;
pub mod trust;
pub mod version;

pub use bytes::{Base64, Base64Url};
