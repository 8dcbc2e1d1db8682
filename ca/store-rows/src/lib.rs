//! What the stores share whatever their engine: how columns become entities, how a fact fails, what becomes of it, and
//! the number of the latest revocation, remembered for a moment. Statements are each store's own.

#[expect(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "fields are columns, which the schemas explain; what Inro can't have written is always `Failure::Corrupt`"
)]
pub mod applicant;
#[expect(missing_docs, reason = "fields are columns: the schemas explain them")]
pub mod custody;
pub mod failure;
pub mod head;
pub mod outcome;
#[expect(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "fields are columns, which the schemas explain; what Inro can't have written is always `Failure::Corrupt`"
)]
pub mod rows;
