//! Custody: a token's PIN that nobody knows, and that M of N custodians open together.
//!
//! A PIN is random, made here, and seen by nobody. It is sealed with a random key; the key is split among the custodians
//! ([`sharing`], Shamir's scheme), each share sealed to one custodian: to the key management key of their PIV token, or to
//! a passphrase ([`envelope`], CMS). What everybody may know stands in the set's [`Document`].
//!
//! A share that is another custodian's, another generation's or another set's is named before anything is made of it,
//! and a PIN that comes out is the right one or none comes out: a mistake here never costs a try at the token.
//!
//! ```text
//! plan (custody.toml) → create → prove, each custodian → switch: the token gets the PIN, the generation is in force
//!                        resplit → prove → switch         a custodian leaves: another PIN, other shares
//!                        unlock                           M custodians give their shares to a running signer
//! ```
//!
//! | file | job |
//! | --- | --- |
//! | `plan` | `custody.toml`: what a set is to be |
//! | `set` | a set in its folder: made, proven, opened, split again |
//! | `document` | `set.json`, and judging shares by it |
//! | `opening` | a custodian opens their share |
//! | `switch` | the token's PIN is changed |
//! | `sharing`, `envelope`, `passphrase`, `piv` | splitting; sealing; passphrases; PIV tokens |
//! | `people` | whom a set asks |
//! | `pin_source` | what is wrong with where a PIN comes from |
//! | `vault`, `socket`, `locked` | the signer's side: what it holds, how it gets it, memory |
//!
//! What a ceremony needs is [`Set::create`], which returns the PIN for the token that it initialises, [`Set::prove`] for
//! each custodian, [`Set::is_proven`], and [`Set::put_in_force`] when the token has the PIN. To use a set that exists:
//! [`Set::open`] and [`Set::assemble`]. [`Understudies`] stand in for the custodians at a rehearsal, with
//! [`Plan::rehearsal`].

mod document;
pub mod envelope;
mod error;
mod locked;
mod opening;
mod passphrase;
mod people;
mod pin_source;
pub mod piv;
mod plan;
mod set;
mod share;
pub mod sharing;
pub mod socket;
mod switch;
mod vault;

pub use document::{
    Document, DocumentError, Generation, Keeper, Library, OtherPin, Past, Proven, SealedTo, ShareFault,
};
pub use error::CustodyError;
pub use locked::forbid_dumps;
pub use passphrase::{SHORTEST, StretchError, WeakPassphrase};
pub use people::{AskError, Desk, People, Understudies};
pub use plan::{
    Characters, Custodian, PinLengths, Plan, PlanError, RawCustodian, Recipe, Sealing, custodians,
};
pub use set::{Set, Which, key_fingerprint, open_share};
pub use share::Share;
pub use switch::{Present, lengths, switch};
pub use vault::{Standing, Vault};
