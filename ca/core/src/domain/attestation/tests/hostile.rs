//! Bytes from strangers: whatever is read of evidence, it is refused or it is true, and it never panics.
//!
//! Genuine-shaped evidence is mutated where its structure is, since arbitrary bytes seldom get past the first length.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::rig::{EVERY_SERIAL, ISSUER, Maker, crl};
use crate::domain::{
    attestation::{
        MakerCertificate, MakerCrl,
        yubikey::{YubiKeyEvidence, examine},
    },
    csr,
    fixtures::now,
    ids::UserId,
};

/// One change of some bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, Index),
    /// A piece stands twice.
    Repeat(Index, Index),
    Cut(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    // Lengths and tags that mean something in DER are likelier to get far.
    let octet = prop_oneof![
        any::<u8>(),
        prop_oneof![Just(0x80), Just(0x82), Just(0x84), Just(0xff), Just(0), Just(0x30), Just(0x1f)]
    ];
    prop_oneof![
        (any::<Index>(), octet).prop_map(|(at, octet)| Mutation::Set(at, octet)),
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, 1 << bit)),
        (any::<Index>(), vec(any::<u8>(), 1..16)).prop_map(|(at, octets)| Mutation::Insert(at, octets)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::Remove(from, to)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::Repeat(from, to)),
        any::<Index>().prop_map(Mutation::Cut),
    ]
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        if length == 0 {
            return;
        }
        let piece = |from: &Index, to: &Index| {
            let (from, to) = (from.index(length), to.index(length));
            from.min(to)..from.max(to)
        };
        match self {
            Self::Set(at, octet) => bytes[at.index(length)] = *octet,
            Self::Flip(at, bits) => bytes[at.index(length)] ^= bits,
            Self::Insert(at, octets) => {
                bytes.splice(at.index(length)..at.index(length), octets.iter().copied());
            }
            Self::Remove(from, to) => drop(bytes.drain(piece(from, to))),
            Self::Repeat(from, to) => {
                let again = bytes[piece(from, to)].to_vec();
                bytes.splice(to.index(length)..to.index(length), again);
            }
            Self::Cut(at) => bytes.truncate(at.index(length)),
        }
    }
}

fn mutated(mut bytes: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        mutation.apply(&mut bytes);
    }
    bytes
}

thread_local! {
    static MAKER: Maker = Maker::new();
}

fn code(evidence: &YubiKeyEvidence) -> &'static str {
    MAKER.with(|maker| maker.code(evidence))
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_evidence(
        slot in vec(any::<u8>(), 0..600),
        f9 in vec(any::<u8>(), 0..600),
        intermediates in vec(vec(any::<u8>(), 0..200), 0..6),
    ) {
        prop_assert_ne!(code(&YubiKeyEvidence { slot, f9, intermediates }), "ok");
    }

    /// Nothing of a slot's or an f9 certificate can be changed: every octet is signed, or is the signature.
    #[test]
    fn changed_certificates_are_refused(
        slot in vec(mutation(), 0..3),
        f9 in vec(mutation(), 0..3),
    ) {
        let genuine = MAKER.with(Maker::evidence);
        let evidence = YubiKeyEvidence {
            slot: mutated(genuine.slot.clone(), &slot),
            f9: mutated(genuine.f9.clone(), &f9),
            intermediates: Vec::new(),
        };
        prop_assert_eq!(code(&evidence) == "ok", evidence == genuine);
    }

    /// What comes along helps to find the way or doesn't; it makes no genuine device a false one, nor the reverse.
    #[test]
    fn changed_intermediates_vouch_for_nothing(mutations in vec(vec(mutation(), 0..3), 0..3)) {
        let (genuine, offered) =
            MAKER.with(|maker| (maker.evidence(), [maker.link_der(), maker.issuer_der(), maker.root_der()]));
        let intermediates =
            offered.into_iter().zip(&mutations).map(|(der, mutations)| mutated(der, mutations)).collect();
        let found = code(&YubiKeyEvidence { intermediates, ..genuine });
        prop_assert!(found == "ok" || found == "evidence-malformed" || found == "evidence-too-large", "{found}");
    }

    /// The maker's extensions as a device that lies would sign them: read as they are meant, or refused.
    #[test]
    fn signed_nonsense_is_read_or_refused(
        arc in prop_oneof![Just(3_u32), Just(7), Just(8), Just(9), Just(10), Just(11), Just(12)],
        value in vec(any::<u8>(), 0..12),
        subject in prop_oneof![Just("9a".to_owned()), "[ -~]{0,40}"],
    ) {
        let found = MAKER.with(|maker| maker.saying(arc, &value, &subject));
        let refused = ["evidence-extension-malformed", "evidence-no-slot", "evidence-firmware-mismatch"];
        prop_assert!(found == "ok" || refused.contains(&found), "{found}");
    }

    #[test]
    fn arbitrary_requests_carry_nothing(der in vec(any::<u8>(), 0..600)) {
        prop_assert!(YubiKeyEvidence::in_request(&der).is_err());
    }

    #[test]
    fn changed_requests_never_panic(mutations in vec(mutation(), 0..4)) {
        let (der, carried) = MAKER.with(Maker::request_with_evidence);
        let der = mutated(der, &mutations);
        if let Ok(found) = YubiKeyEvidence::in_request(&der) {
            prop_assert!(code(&found) != "ok" || found == carried);
        }
        let user = UserId::parse("hokkai-01").expect("a user ID");
        // Accepted or refused; the one thing that it must not do is panic.
        let _ = csr::verify(&der, &user);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_no_crl_and_no_makers_certificate(der in vec(any::<u8>(), 0..600)) {
        prop_assert!(MakerCrl::read(&der).is_err());
        prop_assert!(MakerCertificate::read(&der).is_err());
    }

    /// A changed CRL is unreadable, or nobody's: every octet is signed, or is the signature.
    #[test]
    fn changed_crls_count_for_nothing(mutations in vec(mutation(), 0..4)) {
        let (genuine, anchors) = MAKER.with(|maker| {
            let year = ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
            (crl((ISSUER, &maker.issuer), year, &[&EVERY_SERIAL]), maker.trusted())
        });
        let der = mutated(genuine.clone(), &mutations);
        if let Ok(crl) = MakerCrl::read(&der) {
            let (_, refused) = anchors.with_crls(&[crl]);
            prop_assert_eq!(refused.is_empty(), der == genuine);
        }
    }
}

/// Far more than any genuine evidence, of every kind that is cheap to make.
#[test]
fn large_and_deep_evidence_is_refused_at_once() {
    let nested = |depth: usize| {
        (0..depth).fold(vec![5, 0], |inner, _| {
            let length = u32::try_from(inner.len()).expect("small").to_be_bytes();
            [&[0x30, 0x84], length.as_slice(), &inner].concat()
        })
    };
    let all = [nested(5_000), vec![0x30; 10 << 20], vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff], nested(500)];
    let genuine = MAKER.with(Maker::evidence);
    for hostile in all {
        for evidence in [
            YubiKeyEvidence { slot: hostile.clone(), ..genuine.clone() },
            YubiKeyEvidence { f9: hostile.clone(), ..genuine.clone() },
            YubiKeyEvidence { intermediates: vec![hostile.clone()], ..genuine.clone() },
        ] {
            let found = code(&evidence);
            assert!(found == "evidence-malformed" || found == "evidence-too-large", "{found}");
        }
        assert!(YubiKeyEvidence::in_request(&hostile).is_err());
    }
    assert!(MAKER.with(|maker| examine_twice(maker, &genuine)));
}

/// The memory of verified ways changes no verdict.
fn examine_twice(maker: &Maker, genuine: &YubiKeyEvidence) -> bool {
    let anchors = maker.trusted();
    (0..2).all(|_| examine(genuine, &anchors, now()).is_ok())
}
