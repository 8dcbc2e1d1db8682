//! The authority's inside. `domain` holds the rules and knows nothing of the world, `ports` says what the rules need
//! from it, `app` has one file per use case. Imports go down: `app` → `ports` → `domain`.

pub mod app;
pub mod domain;
pub mod ports;
#[cfg(feature = "testing")]
pub mod testing;
