//! The parsers of foreign structures: cut, lengthened and mutated input is refused, and nothing panics.

use proptest::prelude::*;

use super::*;

/// What was cut or goes on after its end is no structure any more.
#[test]
fn a_structure_has_its_own_length() {
    let bench = Bench::new();
    let honest = bench.evidence();
    let parts: [fn(&mut TpmEvidence) -> &mut Vec<u8>; 5] = [
        |e| &mut e.ek_public,
        |e| &mut e.ak_public,
        |e| &mut e.key_public,
        |e| &mut e.certify_info,
        |e| &mut e.certify_signature,
    ];
    for part in parts {
        let mut cut = honest.clone();
        let full = part(&mut cut).clone();
        for length in 0..full.len() {
            *part(&mut cut) = full[..length].to_vec();
            assert_ne!(bench.code(cut.clone()), "ok", "{length} of {} octets", full.len());
        }
        *part(&mut cut) = [full.clone(), vec![0]].concat();
        assert_ne!(bench.code(cut.clone()), "ok", "an octet too many");
        *part(&mut cut) = [full, vec![0; 100_000]].concat();
        assert_ne!(bench.code(cut), "ok", "oversized");
    }
    let cut = TpmEvidence { key_public: honest.key_public[..40].to_vec(), ..honest.clone() };
    assert_eq!(bench.code(cut), "evidence-tpm-malformed");
    let long = [honest.key_public.clone(), vec![0; 2000]].concat();
    assert_eq!(bench.code(TpmEvidence { key_public: long, ..honest }), "evidence-tpm-malformed");
}

/// A coordinate may come without its leading zeros, and the Name is over what came.
#[test]
fn short_coordinates_are_the_same_key() {
    let key = std::iter::repeat_with(TestKey::p256)
        .find(|key| key.public_key().subject_public_key.raw_bytes()[1] == 0)
        .expect("a key");
    let full = Area::of_user(&key.public_key());
    let short = Area { point: (full.point.0[1..].to_vec(), full.point.1.clone()), ..full.clone() };
    let (full, short) = (
        Public::parse(&full.octets(), "key").expect("read"),
        Public::parse(&short.octets(), "key").expect("read"),
    );
    assert_eq!(full.key, short.key);
    assert_ne!(full.name(), short.name());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_octets_never_panic(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        let key = TestKey::p256().public_key();
        prop_assert!(EndorsementKey::parse(&octets).is_err());
        prop_assert!(AttestationKey::parse(&octets).is_err());
        let signature = Signature { hash: Hash::Sha256, octets: octets.clone() };
        let certified = certified_key(&key, &signature, &octets, &octets, |_| None);
        prop_assert!(certified.is_err());
        let _ = Signature::parse(&octets, &key);
        let _ = TpmEvidence::from_parts(&[octets]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// One octet changed anywhere: refused, or in a part that says nothing (a certificate's is signed, the others' are in
    /// a Name or under a signature).
    #[test]
    fn mutated_evidence_is_refused(part in 0_usize..6, at: prop::sample::Index, bits in 1_u8..) {
        let bench = Bench::new();
        let mut parts = bench.evidence().parts();
        let octets = &mut parts[part];
        let index = at.index(octets.len());
        octets[index] ^= bits;
        let evidence = TpmEvidence::from_parts(&parts).expect("evidence");
        prop_assert_ne!(bench.code(evidence), "ok", "part {} octet {}", part, index);
    }
}
