//! The fault tools themselves, before anything is concluded from them: each must lose what it is there to lose, keep what
//! was made safe, and leave everything else alone.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use rand::{SeedableRng, rngs::StdRng};
use softhsm_tests::{
    faults::{Disk, Faults, Power, Tear},
    process::{Process, output_of, run},
    scratch::Scratch,
};

const DEADLINE: Duration = Duration::from_secs(30);

struct Bench {
    faults: Faults,
    folder: PathBuf,
    scratch: Scratch,
}

impl Bench {
    fn new(power_cuts: bool) -> Self {
        let scratch = Scratch::new("faults").expect("scratch");
        let folder = scratch.directory("folder").expect("a folder");
        let make = if power_cuts { Faults::with_power_cuts } else { Faults::new };
        let faults =
            make(&scratch.join("switchboard"), std::slice::from_ref(&folder)).expect("a switchboard");
        Self { faults, folder, scratch }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).envs(self.faults.environment().expect("the shim"));
        command
    }

    fn shell(&self, script: &str) {
        run(self.command("sh").args(["-euc", script])).expect("the script runs");
    }

    /// Whether it succeeded, and what it complained of.
    fn try_shell(&self, script: &str) -> (bool, String) {
        let output = output_of(self.command("sh").args(["-euc", script]), b"").expect("sh");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn cut(&self, tear: Tear<'_>) {
        self.faults.power(Power::Off).expect("off");
        self.faults.after_the_cut(tear).expect("put back");
    }

    /// The folder's files and their content.
    fn found(&self) -> Vec<(String, String)> {
        let mut found: Vec<_> = fs::read_dir(&self.folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry"))
            .map(|entry| {
                let content = fs::read_to_string(entry.path()).expect("a file");
                (entry.file_name().to_string_lossy().into_owned(), content)
            })
            .collect();
        found.sort();
        found
    }
}

fn file(name: &str, content: &str) -> (String, String) {
    (name.to_owned(), content.to_owned())
}

#[test]
fn after_a_power_cut_there_is_what_was_synced_and_nothing_else() {
    let bench = Bench::new(true);
    bench.shell(
        "printf one >safe; sync safe; printf two >named; sync .; printf three >content; sync -d content",
    );
    bench.shell("mv safe moved; printf four >lost");
    assert_eq!(bench.found().len(), 4);
    bench.cut(Tear::AllLost);
    let expected = [file("named", ""), file("safe", "one")];
    assert_eq!(
        bench.found(),
        expected,
        "a name without content, a content without name, a rename, a new file"
    );

    bench.shell("mv safe moved; sync .; printf changed >moved; rm named");
    bench.cut(Tear::AllLost);
    assert_eq!(bench.found(), [file("moved", "one"), file("named", "")]);

    bench.shell("rm moved; sync .; printf another >fresh; sync fresh .");
    bench.cut(Tear::AllLost);
    assert_eq!(bench.found(), [file("fresh", "another"), file("named", "")]);
}

#[test]
fn a_disk_that_lies_about_syncs_loses_everything() {
    let bench = Bench::new(true);
    bench.faults.power(Power::Lies).expect("switched");
    bench.shell("printf one >file; sync file .");
    bench.cut(Tear::AllLost);
    assert_eq!(bench.found(), []);
}

/// Two files that weren't synced: either may be there without the other, or in parts.
#[test]
fn unsynced_writes_survive_in_no_order() {
    let mut seen = HashSet::new();
    let bench = Bench::new(true);
    for seed in 0..40 {
        bench.shell("rm -f *; : >first; : >second; sync first second .; printf 1 >first");
        bench.shell("head -c 2048 /dev/zero | tr '\\0' 2 >second");
        bench.cut(Tear::Some(&mut StdRng::seed_from_u64(seed)));
        let found: Vec<usize> = bench.found().iter().map(|(_, content)| content.len()).collect();
        seen.insert((found[0], found[1]));
    }
    assert!(seen.contains(&(0, 2048)), "never the second without the first: {seen:?}");
    assert!(
        seen.iter().any(|(first, second)| *first == 1 && *second == 0),
        "never the first alone: {seen:?}"
    );
    assert!(seen.iter().any(|(_, second)| (1..2048).contains(second)), "never torn: {seen:?}");
}

/// The length may be there before the data.
#[test]
fn an_unsynced_end_may_have_holes() {
    let bench = Bench::new(true);
    let holes = (0..40).any(|seed| {
        bench.shell("rm -f *; printf 1 >file; sync file .; head -c 20000 /dev/zero | tr '\\0' 2 >>file");
        bench.cut(Tear::Some(&mut StdRng::seed_from_u64(seed)));
        let content = &bench.found()[0].1;
        assert!(content.starts_with('1'), "the synced begin is lost");
        let first_hole = content.find('\0');
        content.len() == 20_001 && first_hole.is_some_and(|hole| content[hole..].contains('2'))
    });
    assert!(holes, "data never follows a hole");
}

/// Commits a row in a session that is killed at the cut, and says whether the row is there afterwards.
fn a_committed_row_survives(synchronous: &str, power: Power) -> bool {
    let bench = Bench::new(true);
    let sql = |statement: &str| {
        run(bench.command("sqlite3").args(["ledger", statement])).expect("sqlite3").trim().to_owned()
    };
    sql("PRAGMA journal_mode = WAL; CREATE TABLE rows (n INTEGER); INSERT INTO rows VALUES (0);");
    bench.faults.power(power).expect("switched");
    let mut session = bench.command("sqlite3");
    let mut session =
        Process::spawn_with_input("sqlite3", session.arg("ledger"), bench.scratch.path()).expect("sqlite3");
    for line in [
        &format!("PRAGMA synchronous = {synchronous};"),
        "INSERT INTO rows VALUES (1);",
        "SELECT 'committed';",
    ] {
        session.write_line(line).expect("it listens");
    }
    session.wait_for_log("committed", DEADLINE).expect("committed");
    bench.faults.power(Power::Off).expect("off");
    session.kill().expect("killed");
    bench.faults.after_the_cut(Tear::AllLost).expect("put back");
    assert_eq!(sql("PRAGMA integrity_check;"), "ok");
    sql("SELECT count(*) FROM rows;") == "2"
}

#[test]
fn sqlite_keeps_a_commit_exactly_when_it_syncs() {
    assert!(a_committed_row_survives("FULL", Power::On));
    assert!(!a_committed_row_survives("OFF", Power::On), "no sync, and yet it was kept");
    assert!(!a_committed_row_survives("FULL", Power::Lies), "syncs without effect, and yet it was kept");
}

#[test]
fn a_full_disk_takes_what_it_has_room_for() {
    let bench = Bench::new(false);
    bench.faults.disk(Disk::Full { room: 5000 }).expect("switched");
    let (done, complaint) = bench.try_shell("dd if=/dev/zero of=file bs=4096 count=4");
    assert!(!done && complaint.contains("No space left on device"), "{complaint}");
    assert_eq!(fs::metadata(bench.folder.join("file")).expect("there").len(), 5000);
    bench.shell("printf elsewhere >../outside");
    assert!(bench.faults.refused().expect("a count") > 0);
    bench.faults.disk(Disk::Sound).expect("switched");
    bench.shell("printf again >file; sync file");
}

fn insert(bench: &Bench, ledger: &Path) -> (bool, String) {
    let mut command = bench.command("sqlite3");
    command.arg("-bail").arg(ledger).arg("PRAGMA journal_mode; INSERT INTO rows VALUES (1);");
    let output = output_of(&mut command, b"").expect("sqlite3");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn sqlite_hears_of_each_fault_of_the_disk_and_recovers() {
    let bench = Bench::new(false);
    let (ledger, outside) = (bench.folder.join("ledger"), bench.scratch.join("outside"));
    for path in [&ledger, &outside] {
        let create = "PRAGMA journal_mode = WAL; CREATE TABLE rows (n INTEGER);";
        run(Command::new("sqlite3").arg(path).arg(create)).expect("created");
    }
    let faults = [
        (Disk::Full { room: 0 }, "full"),
        (Disk::Full { room: 40 }, "full"),
        (Disk::Broken, "I/O error"),
        (Disk::SyncFails, "I/O error"),
    ];
    for (disk, word) in faults {
        bench.faults.disk(disk).expect("switched");
        let (done, complaint) = insert(&bench, &ledger);
        assert!(!done && complaint.contains(word), "{disk:?}: {complaint}");
        assert!(insert(&bench, &outside).0, "{disk:?} reached another folder");
        bench.faults.disk(Disk::Sound).expect("switched");
        let (done, complaint) = insert(&bench, &ledger);
        assert!(done, "after {disk:?}: {complaint}");
    }
}

#[test]
fn the_wall_clock_jumps_under_a_running_program_and_timers_do_not() {
    let bench = Bench::new(false);
    let script = "$| = 1; print \"ready\\n\"; while (<STDIN>) { print 'time ', time, \"\\n\" }";
    let mut command = bench.command("perl");
    let mut program =
        Process::spawn_with_input("perl", command.args(["-e", script]), bench.scratch.path()).expect("perl");
    program.wait_for_log("ready", DEADLINE).expect("ready");
    let day = SignedDuration::from_hours(24);
    for (turn, by) in [SignedDuration::ZERO, day, -day, SignedDuration::ZERO].into_iter().enumerate() {
        bench.faults.clock(by).expect("switched");
        program.write_line("what time is it?").expect("it listens");
        let told = |process: &Process| -> Option<i64> {
            let log = process.log();
            log.lines().filter_map(|line| line.strip_prefix("time ")).nth(turn)?.parse().ok()
        };
        program.wait_until("the time", DEADLINE, |process| Ok(told(process).is_some())).expect("told");
        let wrong_by = told(&program).expect("told") - Timestamp::now().as_second() - by.as_secs();
        assert!(wrong_by.abs() < 60, "{by:?} became {wrong_by} s");
    }
    bench.faults.clock(day).expect("switched");
    let sleep = bench.command("sleep").arg("0.01").status().expect("sleep");
    assert!(sleep.success());
}
