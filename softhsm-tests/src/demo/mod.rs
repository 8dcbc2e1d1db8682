//! The main job from its first to its last step, as `make demo` shows it and as the test `line` checks it: from an empty
//! directory to certificates that live on tokens, a login, a revocation that everybody hears of.

mod artefacts;
mod narrator;

use std::path::Path;

use anyhow::{Result, ensure};

pub use artefacts::Summary;
pub use narrator::Narrator;

use crate::{
    bank::{Bank, Desk, NewUser, Officer, Options, Portal},
    virtual_yubikey::{Firmware, Profile},
};

/// The contract of the story.
pub const CONTRACT: &str = "0012345";

/// Someone in the story.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    /// The login ID.
    pub id: &'static str,
    /// `master` or `general`.
    pub role: &'static str,
    /// The display name.
    pub name: &'static str,
    /// The token's serial.
    pub token: u32,
    /// The token's firmware.
    pub firmware: Firmware,
}

/// The master, and two general users; the last one is revoked.
pub const PEOPLE: [Person; 3] = [
    Person {
        id: "hanako",
        role: "master",
        name: "佐藤 花子",
        token: 25_000_001,
        firmware: Firmware(5, 7, 4),
    },
    Person {
        id: "ichiro",
        role: "general",
        name: "鈴木 一郎",
        token: 25_000_002,
        firmware: Firmware(5, 4, 3),
    },
    Person {
        id: "yuki", role: "general", name: "田中 雪", token: 25_000_003, firmware: Firmware(5, 7, 2)
    },
];

/// The bank's staff: two administrators, who admit a clerk and an auditor.
pub const STAFF: [Officer; 4] = [
    Officer { id: "keiko", name: "Mori Keiko", role: "administrator", token: 25_000_011 },
    Officer { id: "makoto", name: "Abe Makoto", role: "administrator", token: 25_000_012 },
    Officer { id: "sakura", name: "Ono Sakura", role: "clerk", token: 25_000_013 },
    Officer { id: "takumi", name: "Ueda Takumi", role: "auditor", token: 25_000_014 },
];

/// The story's end: everything still runs.
#[derive(Debug)]
pub struct Scene {
    /// The customers' desk.
    pub desk: Desk,
    /// The bank.
    pub bank: Bank,
}

/// Tells the whole story in `directory`, which must be empty or missing.
///
/// # Errors
/// At the first step that doesn't end as it must.
pub fn tell(directory: &Path, narrator: &mut Narrator) -> Result<Scene> {
    let mut bank = narrator
        .step("configuration, PINs and the emulated maker's attestation roots are made", || {
            Bank::prepare(directory, &Options::default())
        })?;
    narrator
        .step("key ceremony on SoftHSM: root on a token of its own, issuing CAs, OCSP, first CRLs", || {
            bank.hold_ceremony()
        })?;
    narrator.step("ledger created, signer up: it signs only what it judges right", || {
        bank.migrate()?;
        bank.start_signer()
    })?;
    narrator.step("authority up: enrolment, portal, OCSP and CRL", || bank.start_authority())?;
    narrator.step(
        "contract 株式会社 北洋商事 with a master and two general users, a token assigned to each",
        || {
            bank.register_contract(CONTRACT, "株式会社 北洋商事")?;
            PEOPLE.iter().try_for_each(|person| register(&bank, person))
        },
    )?;
    let customers = PEOPLE.iter().map(|person| Profile::new(person.token, person.firmware));
    let staff = STAFF.iter().map(|officer| Profile::new(officer.token, Firmware(5, 4, 3)));
    let profiles: Vec<_> = customers.chain(staff).collect();
    let desk = narrator.step("seven virtual YubiKeys plugged in behind pcscd", || {
        Desk::new(&bank.path("desk"), bank.attestation(), profiles)
    })?;
    enrol_everybody(narrator, &bank, &desk)?;
    revoke_the_last(narrator, &bank, &desk)?;
    narrator.step("ceremony of the staff CA: four members of staff certified on YubiKeys", || {
        bank.certify_staff(&desk, &STAFF)
    })?;
    narrator.step("two administrators admit a clerk and an auditor at the staff console", || {
        bank.admit_staff(&desk, &STAFF)
    })?;
    narrator.step("openssl agrees: chain, CRLs and OCSP, strictly", || artefacts::check(&bank))?;
    Ok(Scene { desk, bank })
}

fn register(bank: &Bank, person: &Person) -> Result<()> {
    bank.register_user(&NewUser {
        id: person.id,
        contract: CONTRACT,
        role: person.role,
        name: person.name,
        token: Some(person.token),
    })
}

fn enrol_everybody(narrator: &mut Narrator, bank: &Bank, desk: &Desk) -> Result<()> {
    for person in &PEOPLE {
        let what =
            format!("{} obtains a certificate on YubiKey {} ({})", person.id, person.token, person.firmware);
        narrator.step(&what, || {
            let printed = desk.enroll(bank, person.id, person.token)?;
            artefacts::keep_certificate(bank, person.id, &printed)
        })?;
    }
    for person in &PEOPLE {
        narrator.step(&format!("{} logs in with certificate and password", person.id), || {
            let home = Portal::new(bank, desk, person.token)?.login()?;
            ensure!(home.text().contains(person.id), "the home page is somebody else's");
            Ok(())
        })?;
    }
    Ok(())
}

fn revoke_the_last(narrator: &mut Narrator, bank: &Bank, desk: &Desk) -> Result<()> {
    let [master, _, revoked] = &PEOPLE;
    let window = Portal::new(bank, desk, revoked.token)?;
    ensure!(window.get("/home")?.status == 200, "{} has no live session", revoked.id);
    narrator.step(&format!("{} revokes the certificate of {}", master.id, revoked.id), || {
        let result = Portal::new(bank, desk, master.token)?.revoke(revoked.id)?;
        ensure!(result.status == 200, "the revocation was refused: {}", result.text());
        Ok(())
    })?;
    narrator.step(&format!("the live session of {} is over, the next login refused", revoked.id), || {
        ensure!(window.get("/home")?.status != 200, "the session goes on");
        window.forget()?;
        ensure!(window.get("/login")?.status != 200, "the login form is offered");
        Ok(())
    })?;
    narrator.step("OCSP and CRL say revoked", || {
        artefacts::wait_for_crl(bank, revoked.id)?;
        PEOPLE.iter().try_for_each(|person| artefacts::keep_ocsp(bank, person.id))
    })
}
