//! Pages that anybody can read.

use super::super::sections::{Help, Public};

pub(super) const PUBLIC: Public = Public {
    obtain_lead: "A certificate is issued for a key that is made inside your token. The key never leaves it, so nobody can use the certificate without the token and its PIN.",
    obtain_before: "What you need",
    obtain_steps: "How it goes",
    obtain_command: "Or on a command line:",
    obtain_result: "When it is done, the agent shows what the certificate says. Close all browser windows once before your first certificate login.",
    obtain_proxy: "If your company's network uses an authenticating proxy, the agent asks for the proxy's user name and password as well. Those are not your login ID and login password.",
    obtain_again: "While you have a valid certificate you can't obtain another. After a replaced token or an expiry, the old one is revoked first: general users ask their master user, master users their branch.",
    agent_title: "Download the certificate agent",
    agent_lead: "The program that obtains and renews certificates. It makes the private key inside your token and writes the certificate to it.",
    agent_version: "Newest version",
    agent_lowest: "Oldest version that is accepted",
    agent_files: "Files",
    agent_file: "File",
    agent_size: "Size",
    agent_bytes: "{} bytes",
    agent_checksum: "SHA-256 checksum",
    agent_platform: "For",
    agent_signed_by: "Signed by",
    agent_signature: "Signed list",
    agent_check_signature: "To check the signature",
    agent_verify: "Before you run the file, check that its checksum is the one above. If it isn't, don't run it and call your branch.",
    agent_on_windows: "To check it on Windows",
    agent_on_linux: "To check it on Linux",
    agent_elsewhere: "Where the agent is",
    agent_none: "It isn't offered on this site. Your branch's letter says where to get it.",
    environments_title: "Supported environments",
    environments_lead: "The service can be used with the following.",
    environments_tokens: "Tokens",
    environments_browsers: "Browsers",
    environments_agent: "Certificate agent",
    environments_network: "Network",
    environments_accessibility: "Display",
    obtain_needs: &[
        "Your token: one that the bank gave you, or one that is registered for you",
        "Your login ID and login password",
        "The acquisition code, if your branch's letter has one",
    ],
    environments_tokens_text: &[
        "PIV tokens that can prove where their key was made, such as the YubiKey 5 series",
        "Computers with a TPM 2.0, where the contract allows it",
        "Other cards and tokens only where the contract allows them",
    ],
    environments_browsers_text: &[
        "The current versions of Google Chrome, Microsoft Edge, Chromium and Mozilla Firefox",
        "TLS 1.3: certificate login takes nothing older.",
        "JavaScript isn't needed. Cookies must be allowed.",
    ],
    environments_agent_text: &[
        "The download page shows which systems there is a file for.",
        "A USB port for the token, or a card reader.",
    ],
    environments_network_text: &[
        "HTTPS connections to this site, through an authenticating proxy if need be.",
    ],
    environments_accessibility_text: &[
        "Everything works by keyboard alone, on narrow screens and with large text.",
    ],
};

pub(super) const HELP: Help = Help {
    title: "Help",
    contents: "On this page",
    mail_title: "You answered a suspicious mail",
    lost_title: "Your token is lost or stolen",
    pin_title: "You forgot the PIN, it is blocked, or it is asked for again and again",
    password_title: "You forgot a password, or your ID is locked",
    expired_title: "Your certificate has expired",
    replace_title: "You replace or dispose of a computer or token",
    missing_title: "The browser doesn't ask for a certificate",
    mail_text: &[
        "Our mail never asks for a password or PIN, and never has a link or an attachment.",
        "If you gave a password away by mail or on an unfamiliar page, log in at once, change your login password under Settings, and call your branch.",
        "If you can't change it, or something was done that you don't recognise, stop your own ID by the emergency stop under Settings. It works at any hour.",
    ],
    lost_text: &[
        "Tell your master user or your branch at once. The master user revokes a general user's certificate, the branch a master user's.",
        "A revoked certificate can't be used to log in. Get a new token, then obtain a certificate again.",
    ],
    pin_text: &[
        "Several wrong PINs block the token. With the PUK, the certificate agent sets a new PIN.",
        "Where the bank keeps the PUK, you can ask for it with Unblock the PIN in the certificate agent.",
        "Where neither is possible, the token is reset and a certificate obtained again; the old one is revoked first.",
        "If the PIN is asked for again while you move on after the login, nothing is broken: a renewed key lives in the token's place for signatures (slot 9c). Enter the PIN each time.",
    ],
    password_text: &[
        "General users ask their master user to unlock the ID or to set a new password.",
        "Master users ask their branch, where their identity is checked.",
    ],
    expired_text: &[
        "An expired certificate can't be used to log in or to renew. It is revoked, then a new one is obtained.",
        "General users ask their master user to revoke it, master users their branch. General users can log in even when the master user's certificate has expired.",
    ],
    replace_text: &[
        "If you keep the same token, a new computer needs nothing but the agent and the browser's settings.",
        "For a new token, have the old certificate revoked, then obtain one with the new token.",
        "Before you give a token away or dispose of it, erase certificate and key from it with the certificate agent.",
    ],
    missing_text: &[
        "Check that the token is connected, close all browser windows and open one again.",
        "Browsers may leave out certificates that have expired.",
    ],
};
