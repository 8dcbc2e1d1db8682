//! Attacks on a maker's hierarchy of our own and on its devices. Genuine devices are tested in `tests/evidence_genuine/`.

mod chains;
mod crls;
mod devices;
mod hostile;
mod requests;
mod rig;
