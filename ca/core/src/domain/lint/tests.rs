//! One broken draft for each lint.
