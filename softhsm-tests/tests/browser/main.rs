//! Every flow of a customer in a real browser, from the first click to the last, in both languages: Chromium, with the key
//! on the virtual YubiKey through OpenSC and pcscd. Pictures of every page are kept below `target/screenshots/`.

mod flows;
mod pages;
mod site;
