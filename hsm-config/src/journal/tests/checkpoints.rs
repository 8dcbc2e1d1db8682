//! Starts from a checkpoint, and what becomes of checkpoints that lie.

use std::{collections::BTreeMap, time::Duration};

use super::{
    super::{
        checkpoint::{self, Ignored, path_of},
        files::beside,
        index::Revoked,
        keeper::{self, Compared},
        open::Opened,
    },
    *,
};

const NEVER: Settings = Settings {
    from_octets: u64::MAX,
    entries: u64::MAX,
    part: 1,
    octets: u64::MAX,
    every: Duration::MAX,
    poll: Duration::from_hours(1),
    patience: Duration::from_hours(1),
};
/// A checkpoint at the end only.
const AT_THE_END: Settings = Settings { from_octets: 0, ..NEVER };

/// Everything that an index says.
type Contents = (
    extent::Extent,
    Vec<Option<frame::Place>>,
    BTreeMap<[u8; 16], [u8; 4]>,
    BTreeMap<KeyLabel, (extent::KeyPast, Vec<(Serial, Option<u64>)>, Vec<(Serial, Revoked)>)>,
);

fn contents(index: &Index) -> Contents {
    let places = (0..index.entries() + 2).map(|sequence| index.place(sequence)).collect();
    let keys = index.keys().map(|(label, key)| {
        let mut serials: Vec<_> = (1..60)
            .map(|number| Serial::from_content(&serial(number)).expect("a serial number"))
            .map(|serial| (serial, key.certificate(&serial)))
            .collect();
        serials.sort_unstable_by_key(|(serial, _)| *serial);
        let mut revocations: Vec<_> = key.revocations().collect();
        revocations.sort_unstable_by_key(|(serial, _)| *serial);
        (label.clone(), (key.past, serials, revocations))
    });
    (index.extent.clone(), places, index.intents.iter().collect(), keys.collect())
}

fn opened(path: &Path) -> Opened {
    open::open(path).expect("opens")
}

/// As read from the whole file.
fn whole(path: &Path) -> Contents {
    let file = File::open(path).expect("opens");
    contents(&open::scan(&file, path, |_| {}).expect("sound").index)
}

async fn append(path: &Path, settings: Settings, bodies: Vec<EntryBody>) {
    let journal = Journal::open_with(path, now, settings).expect("opens");
    for body in bodies {
        // One that contradicts the past is refused, which is as good a history.
        let _ = journal.append(vec![body]).await;
    }
}

/// A journal of six entries with a checkpoint at the fourth.
async fn six(place: &super::Place) {
    let house = house();
    append(
        &place.path,
        AT_THE_END,
        vec![certificate(&house, 1), revocation(1), crl(&house, 3), certificate(&house, 2)],
    )
    .await;
    append(&place.path, NEVER, vec![revocation(2), certificate(&house, 5)]).await;
}

fn kept(path: &Path, opened: Opened) -> (keeper::Kept, checkpoint::Summary) {
    let identifier = frame::identifier(&opened.file).expect("an identifier");
    let index = Arc::new(RwLock::new(opened.index));
    let kept =
        keeper::Kept { path: path.to_owned(), identifier, index, fault: Arc::default(), settings: NEVER };
    (kept, opened.unread.expect("a checkpoint was used"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Wherever the checkpoints were written: with what came after the last, they are the whole journal.
    #[test]
    fn a_checkpoint_and_what_comes_after_it_are_the_whole(
        numbers in proptest::collection::vec((0_u8..4, 1_u64..60), 1..30),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        runtime.block_on(async {
            let place = place();
            let house = house();
            let bodies: Vec<EntryBody> = numbers
                .iter()
                .map(|(kind, number)| match kind {
                    0 => revocation(*number),
                    1 => crl(&house, *number),
                    2 => EntryBody::OcspCount { key: key(), count: *number },
                    _ => certificate(&house, *number),
                })
                .collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bodies.len()) + 1).collect();
            cuts.sort_unstable();
            let mut from = 0;
            for to in cuts {
                append(&place.path, AT_THE_END, bodies[from..to].to_vec()).await;
                from = to;
            }
            append(&place.path, NEVER, bodies[from..].to_vec()).await;
            let opened = opened(&place.path);
            assert_eq!(contents(&opened.index), whole(&place.path));
            let (kept, unread) = kept(&place.path, opened);
            let same = keeper::compare(&kept, &unread, |_| false).expect("reads");
            assert_eq!(same, Compared::Same);
        });
    }
}

#[tokio::test]
async fn a_checkpoint_that_was_changed_at_any_octet_is_not_used() {
    let place = place();
    six(&place).await;
    let file = File::open(&place.path).expect("opens");
    let checkpoint = path_of(&place.path);
    let octets = fs::read(&checkpoint).expect("a checkpoint");
    assert!(checkpoint::load(&place.path, &file).is_ok());
    let expected = whole(&place.path);
    for position in 0..octets.len() {
        let mut changed = octets.clone();
        changed[position] ^= 1;
        fs::write(&checkpoint, &changed).expect("written");
        checkpoint::load(&place.path, &file).expect_err("changed");
        fs::write(&checkpoint, &octets[..position]).expect("written");
        checkpoint::load(&place.path, &file).expect_err("cut");
        // What a power cut leaves of a file that has its length and not its octets.
        let mut zeros = octets[..position].to_vec();
        zeros.resize(octets.len(), 0);
        fs::write(&checkpoint, &zeros).expect("written");
        checkpoint::load(&place.path, &file).expect_err("not all written");
        if position % 500 == 0 {
            let opened = opened(&place.path);
            assert!(opened.unread.is_none());
            assert_eq!(contents(&opened.index), expected);
        }
    }
    fs::write(&checkpoint, [octets.as_slice(), &[0]].concat()).expect("written");
    checkpoint::load(&place.path, &file).expect_err("longer");
}

#[tokio::test]
async fn a_checkpoint_of_another_past_is_not_used() {
    let (one, other) = (place(), place());
    six(&one).await;
    six(&other).await;
    let load = |place: &super::Place| {
        let file = File::open(&place.path).expect("opens");
        checkpoint::load(&place.path, &file).map(drop)
    };
    assert!(load(&one).is_ok());

    fs::copy(path_of(&other.path), path_of(&one.path)).expect("copied");
    assert!(matches!(load(&one), Err(Ignored::Foreign(_))));

    // The journal lost its end: restored from an older copy.
    let sound = fs::read(&other.path).expect("reads");
    let place = opened(&other.path).index.place(4).expect("there");
    fs::write(&other.path, &sound[..usize::try_from(place.offset).expect("small")]).expect("written");
    assert!(matches!(load(&other), Err(Ignored::Ahead { entries: 4, .. })));
    assert_eq!(opened(&other.path).index.entries(), 3, "it is read whole");

    // And went on with something else.
    append(&other.path, NEVER, (10..20).map(|number| certificate(&house(), number)).collect()).await;
    assert!(matches!(load(&other), Err(Ignored::Other(4))));
    let opened = opened(&other.path);
    assert!(opened.unread.is_none());
    assert_eq!(contents(&opened.index), whole(&other.path));
}

#[tokio::test]
async fn a_checkpoint_that_others_could_have_written_is_not_used() {
    use std::os::unix::fs::PermissionsExt;

    let place = place();
    six(&place).await;
    fs::set_permissions(path_of(&place.path), fs::Permissions::from_mode(0o666)).expect("mode");
    let file = File::open(&place.path).expect("opens");
    assert!(matches!(checkpoint::load(&place.path, &file), Err(Ignored::Exposed(_))));
}

#[tokio::test]
async fn a_new_checkpoint_takes_the_olds_place_whole_or_not_at_all() {
    let place = place();
    six(&place).await;
    let checkpoint = path_of(&place.path);
    let old = fs::read(&checkpoint).expect("a checkpoint");
    // One that was begun and not finished is in nobody's way.
    fs::write(beside(&checkpoint, ".new"), &old[..old.len() / 2]).expect("written");
    assert_eq!(opened(&place.path).unread.expect("used").extent.entries, 4);
    append(&place.path, AT_THE_END, vec![certificate(&house(), 6)]).await;
    assert_eq!(opened(&place.path).unread.expect("used").extent.entries, 7);
    assert!(!beside(&checkpoint, ".new").exists());
    // The journal's own end may be torn behind it.
    let sound = fs::read(&place.path).expect("reads");
    let mark = fs::read(mark::path_of(&place.path)).expect("a mark");
    append(&place.path, NEVER, vec![revocation(6)]).await;
    let torn = fs::read(&place.path).expect("reads");
    fs::write(mark::path_of(&place.path), mark).expect("written");
    for cut in sound.len()..torn.len() {
        fs::write(&place.path, &torn[..cut]).expect("written");
        assert_eq!(opened(&place.path).index.entries(), 7, "cut at {cut}");
        assert_eq!(fs::read(&place.path).expect("reads"), sound);
    }
}

#[tokio::test]
async fn what_cannot_be_written_beside_a_journal_harms_nobody() {
    let place = place();
    fs::create_dir(beside(&path_of(&place.path), ".new")).expect("in the way");
    fs::create_dir(mark::path_of(&place.path)).expect("in the way");
    let settings = Settings { entries: 1, poll: Duration::from_millis(1), ..AT_THE_END };
    append(&place.path, settings, vec![certificate(&house(), 1), revocation(1)]).await;
    assert!(!path_of(&place.path).exists());
    assert_eq!(opened(&place.path).index.entries(), 2);
}

#[tokio::test]
async fn checkpoints_are_written_while_entries_come() {
    let place = place();
    let settings = Settings { entries: 10, poll: Duration::from_millis(1), ..AT_THE_END };
    let journal = Journal::open_with(&place.path, now, settings).expect("opens");
    let house = house();
    for number in 1..=200 {
        let bodies = vec![certificate(&house, number), revocation(number)];
        journal.append(bodies).await.expect("appended");
    }
    drop(journal);
    let opened = opened(&place.path);
    assert_eq!(opened.unread.as_ref().expect("used").extent.entries, 400);
    assert_eq!(contents(&opened.index), whole(&place.path));
}

#[tokio::test]
async fn a_past_that_was_changed_behind_the_checkpoint_stops_the_signer_for_good() {
    let place = place();
    six(&place).await;
    let mut octets = fs::read(&place.path).expect("reads");
    let second = opened(&place.path).index.place(2).expect("there");
    octets[usize::try_from(second.offset + second.length).expect("small") - 1] ^= 1;
    fs::write(&place.path, &octets).expect("written");

    let journal = Journal::open_with(&place.path, now, Settings { patience: Duration::ZERO, ..NEVER });
    let journal = journal.expect("nobody has read that far yet");
    let unsound = loop {
        match journal.sound() {
            Err(unsound) => break unsound.to_string(),
            Ok(()) => tokio::task::yield_now().await,
        }
    };
    assert!(unsound.contains("entry 2"), "{unsound}");
    let refused = journal.append(vec![revocation(50)]).await.expect_err("unsound");
    assert!(matches!(refused, AppendError::Unsound(_)), "{refused}");
    drop(journal);
    assert!(!path_of(&place.path).exists(), "the next start reads everything");
    assert!(matches!(Journal::open(&place.path, now), Err(OpenError::Damaged { sequence: 2, .. })));
}

#[tokio::test]
async fn a_checkpoint_that_lies_in_good_form_is_found_out() {
    let place = place();
    six(&place).await;
    let lie = |change: fn(&mut Index)| {
        let mut index = opened(&place.path).index;
        change(&mut index);
        let identifier = frame::identifier(&File::open(&place.path).expect("opens")).expect("an identifier");
        checkpoint::write(&place.path, identifier, &RwLock::new(index)).expect("written");
        let (kept, unread) = kept(&place.path, opened(&place.path));
        keeper::compare(&kept, &unread, |_| false).expect("reads")
    };
    assert_eq!(lie(|_| {}), Compared::Same);
    let unrevoked =
        lie(|index| index.keys.get_mut(&key()).expect("a key").revocations = table::Table::default());
    let Compared::Unsound(fault) = unrevoked else { panic!("{unrevoked:?}") };
    assert!(fault.starts_with("entry 2 "), "{fault}");
    fs::remove_file(path_of(&place.path)).expect("removed");
    let added = lie(|index| index.intents.insert([9; 16], [0, 0, 0, 1]));
    assert!(matches!(added, Compared::Unsound(_)));
    fs::remove_file(path_of(&place.path)).expect("removed");
    let lower = lie(|index| {
        let crl = &mut index.keys.get_mut(&key()).expect("a key").past.crl;
        *crl = crl.map(|crl| CrlState { number: 1, ..crl });
    });
    assert!(matches!(lower, Compared::Unsound(_)));
}
