//! What is wrong with a profile beyond its form: every mistake at once, each with its key and remedy.

use super::rules::{Evidence, Profile};

/// Every mistake; empty when there is none.
pub(super) fn mistakes(profile: &Profile) -> Vec<String> {
    let mut found = Vec::new();
    let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    if profile.name.is_empty() || profile.name.len() > 64 || !profile.name.bytes().all(plain) {
        found.push(format!("name = {:?}: write 1 to 64 of a-z, 0-9 and '-'", profile.name));
    }
    if profile.name == "unknown" {
        found.push("name = \"unknown\" stands for modules without a profile: choose another".to_owned());
    }
    if profile.product.trim().is_empty() {
        found.push("product is empty: write what the product is called".to_owned());
    }
    if profile.evidence == Evidence::Documents && profile.sources.is_empty() {
        found.push(
            "sources is empty: list the documents that this was read in, or say evidence = \"tested\""
                .to_owned(),
        );
    }
    module(profile, &mut found);
    sessions_and_pin(profile, &mut found);
    keys(profile, &mut found);
    mechanisms(profile, &mut found);
    found
}

fn module(profile: &Profile, found: &mut Vec<String>) {
    if profile.module.paths.is_empty() {
        found.push("module.paths is empty: list where the library usually is".to_owned());
    }
    for path in &profile.module.paths {
        if !path.is_absolute() || path.file_name().is_none() {
            found.push(format!("module.paths has {}: give full paths of libraries", path.display()));
        }
    }
    for name in profile.environment.required.iter().chain(&profile.environment.files) {
        if name.is_empty() || name.contains(['=', '\0', ' ']) {
            found
                .push(format!("environment has {name:?}: write names of variables, such as \"VENDOR_CONF\""));
        }
    }
    if !profile.token.initialise && profile.token.initialise_with.is_none() {
        found.push(
            "token.initialise_with is missing: say what makes a token, since C_InitToken doesn't".to_owned(),
        );
    }
}

fn sessions_and_pin(profile: &Profile, found: &mut Vec<String>) {
    if profile.sessions.most.is_some_and(|most| most < 2) {
        found.push(
            "sessions.most is below 2: one session keeps the login and one signs; leave it out if it isn't known"
                .to_owned(),
        );
    }
    if profile.sessions.idle_seconds == Some(0) {
        found.push(
            "sessions.idle_seconds = 0: give seconds, or leave it out when sessions don't end".to_owned(),
        );
    }
    if let Some(throw_away) = &profile.throw_away {
        if !profile.environment.files.contains(&throw_away.variable) {
            found.push(format!(
                "throw_away.variable = {:?}: give the one of environment.files that names the configuration",
                throw_away.variable
            ));
        }
        if !throw_away.configuration.contains("{folder}") {
            found.push(
                "throw_away.configuration has no {folder}: write it where the tokens' folder belongs"
                    .to_owned(),
            );
        }
    }
    let pin = &profile.pin;
    if pin.shortest > pin.longest || pin.longest > 255 {
        found.push(format!(
            "pin.shortest = {} and pin.longest = {}: give a range within 255",
            pin.shortest, pin.longest
        ));
    }
    if pin.hex_prefix >= pin.longest {
        found.push(format!("pin.hex_prefix = {}: leave room for the PIN itself", pin.hex_prefix));
    }
    if pin.separator.as_deref() == Some("") {
        found.push("pin.separator is empty: give it, such as \":\", or leave it out".to_owned());
    }
    if pin.tries == Some(0) {
        found.push("pin.tries = 0: give the number of wrong PINs that lock, or leave it out".to_owned());
    }
}

fn keys(profile: &Profile, found: &mut Vec<String>) {
    if profile.keys.algorithms.is_empty() {
        found.push(
            "keys.algorithms is empty: list of \"p256\", \"p384\", \"rsa3072\", \"rsa4096\"".to_owned(),
        );
    }
    if !(1..=32).contains(&profile.keys.longest_id) {
        found.push(format!("keys.longest_id = {}: give 1 to 32 bytes", profile.keys.longest_id));
    }
    named("keys.silent", "CKA_", &profile.keys.silent, found);
}

fn mechanisms(profile: &Profile, found: &mut Vec<String>) {
    named("mechanisms.shown", "CKM_", &profile.mechanisms.shown, found);
    named("backup.wrap", "CKM_", &profile.backup.wrap, found);
    if profile.backup.trusted && profile.backup.wrap.is_empty() {
        found.push(
            "backup.trusted = true without backup.wrap: list what wraps a private key, or leave it out"
                .to_owned(),
        );
    }
    let remedied: Vec<String> = profile.remedies.keys().cloned().collect();
    named("remedies", "CKM_", &remedied, found);
    for mechanism in remedied.iter().filter(|name| profile.remedies[*name].trim().is_empty()) {
        found.push(format!("remedies.{mechanism} is empty: say what to do when the token lacks it"));
    }
}

fn named(key: &str, prefix: &str, names: &[String], found: &mut Vec<String>) {
    for name in names.iter().filter(|name| !name.starts_with(prefix)) {
        found.push(format!("{key} has {name:?}: write the standard's name, which begins with {prefix}"));
    }
}

/// Words as a list, `none` when there are none.
pub fn list(words: &[String]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use crate::vendor::Profile;

    #[test]
    fn every_mistake_is_told_at_once_with_its_key_and_remedy() {
        let text = r#"
            name = "Our HSM"
            product = " "
            evidence = "documents"
            [module]
            paths = ["lib.so"]
            [environment]
            required = ["A=B"]
            [sessions]
            most = 1
            idle_seconds = 0
            [pin]
            shortest = 9
            longest = 8
            hex_prefix = 8
            separator = ""
            tries = 0
            [token]
            initialise = false
            [keys]
            algorithms = []
            longest_id = 33
            silent = ["LOCAL"]
            [mechanisms]
            shown = ["ECDSA"]
            [backup]
            wrap = ["AES"]
            [remedies]
            CKM_ECDSA = ""
        "#;
        let told = Profile::parse(text, "ours").expect_err("mistakes").to_string();
        for key in [
            "name =",
            "product",
            "sources",
            "module.paths",
            "environment",
            "sessions.most",
            "sessions.idle_seconds",
            "pin.shortest",
            "pin.hex_prefix",
            "pin.separator",
            "pin.tries",
            "token.initialise_with",
            "keys.algorithms",
            "keys.longest_id",
            "keys.silent",
            "mechanisms.shown",
            "backup.wrap",
            "remedies.CKM_ECDSA",
        ] {
            assert!(told.contains(&format!("- {key}")), "{key} isn't told: {told}");
        }
    }

    #[test]
    fn nothing_is_wrapped_under_trusted_keys_where_nothing_is_wrapped() {
        let text = "name = \"ours\"\nproduct = \"Ours\"\nevidence = \"tested\"\n[module]\npaths = [\"/lib/ours.so\"]\n\
                    [backup]\ntrusted = true\n";
        let told = Profile::parse(text, "ours").expect_err("a mistake").to_string();
        assert!(told.contains("- backup.trusted"), "{told}");
        assert!(Profile::parse(&format!("{text}wrap = [\"CKM_AES_KEY_WRAP_PAD\"]\n"), "ours").is_ok());
    }

    #[test]
    fn a_key_that_is_not_known_is_told_with_its_line() {
        let told =
            Profile::parse("name = \"ours\"\ncolour = \"grey\"\n", "ours").expect_err("unknown").to_string();
        assert!(told.contains("line 2") && told.contains("colour"), "{told}");
    }
}
