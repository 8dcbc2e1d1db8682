//! One use case, one file.
