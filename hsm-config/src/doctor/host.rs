//! The signer's host: who can get at its files, how much room its journal has, and what keeps its clock.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::finding::Report;

/// Below this a busy signer stops within days.
const ROOM_WARNING: u64 = 1024 * 1024 * 1024;
/// Below this it may stop any moment.
const ROOM_ERROR: u64 = 64 * 1024 * 1024;

/// The files that a signer's configuration names.
#[derive(Clone, Debug)]
pub struct HostFiles {
    /// The configuration itself.
    pub config: PathBuf,
    /// Files with secrets.
    pub secrets: Vec<PathBuf>,
    /// The journal.
    pub journal: PathBuf,
    /// The latch.
    pub latch: PathBuf,
    /// The socket.
    pub socket: PathBuf,
    /// The socket's mode.
    pub socket_mode: u32,
}

/// Looks at all of it.
pub(super) fn examine(files: &HostFiles, report: &mut Report) {
    writable_by_others("files", &files.config, report);
    for secret in &files.secrets {
        private(secret, report);
    }
    if files.journal.exists() {
        private(&files.journal, report);
    } else {
        report.note("files", shown(&files.journal), "no journal yet; the signer makes it");
    }
    if files.latch.exists() {
        private(&files.latch, report);
    }
    socket(files, report);
    room(&files.journal, report);
    clock(report);
}

/// A library is code that handles the PIN: whoever can write to it has it.
pub(super) fn module(path: &Path, report: &mut Report) {
    writable_by_others("module", path, report);
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn writable_by_others(check: &'static str, path: &Path, report: &mut Report) {
    match fs::metadata(path) {
        Err(error) => unreadable(check, path, &error, report),
        Ok(file) if file.mode() & 0o022 != 0 => report.fail(
            check,
            shown(path),
            format!("group or others may write to it (mode {:04o})", file.mode() & 0o7777),
            format!("chmod go-w {}", path.display()),
        ),
        Ok(file) if ![0, rustix::process::geteuid().as_raw()].contains(&file.uid()) => report.fail(
            check,
            shown(path),
            format!("belongs to another user (uid {})", file.uid()),
            format!("chown root {}, when you know how that came", path.display()),
        ),
        Ok(_) => match open_folder(path) {
            Some(folder) => report.fail(
                check,
                shown(path),
                format!("any user may put another in its place: {} is open to all", folder.display()),
                format!("chmod o-w {}", folder.display()),
            ),
            None => report.fine(check, shown(path), "only its owner may write to it"),
        },
    }
}

/// A folder on the way to a file in which any user may exchange what lies there. A sticky one keeps them from that.
fn open_folder(path: &Path) -> Option<PathBuf> {
    let whole = fs::canonicalize(path).ok()?;
    let open = |folder: &&Path| fs::metadata(folder).is_ok_and(|folder| folder.mode() & 0o1002 == 0o002);
    whole.ancestors().skip(1).find(open).map(Path::to_owned)
}

fn private(path: &Path, report: &mut Report) {
    match fs::metadata(path) {
        Err(error) => unreadable("files", path, &error, report),
        Ok(file) if file.mode() & 0o077 != 0 => report.fail(
            "files",
            shown(path),
            format!("group or others have access (mode {:04o})", file.mode() & 0o7777),
            format!("chmod go= {}", path.display()),
        ),
        Ok(_) => report.fine("files", shown(path), "only its owner has access"),
    }
}

fn unreadable(check: &'static str, path: &Path, error: &io::Error, report: &mut Report) {
    report.fail(
        check,
        shown(path),
        format!("can't be looked at: {error}"),
        "correct the path, and run the doctor as the account that runs the signer",
    );
}

fn socket(files: &HostFiles, report: &mut Report) {
    let path = &files.socket;
    match fs::metadata(path) {
        Err(_) => report.note("files", shown(path), "no socket: the signer isn't running"),
        Ok(file) if !file.file_type().is_socket() => report.fail(
            "files",
            shown(path),
            "is no socket",
            "remove it, or give socket.path another place; the signer makes its socket itself",
        ),
        Ok(file) if file.mode() & 0o777 & !files.socket_mode != 0 => report.fail(
            "files",
            shown(path),
            format!(
                "mode {:04o} lets in more than socket.mode {:04o}",
                file.mode() & 0o777,
                files.socket_mode
            ),
            "restart the signer",
        ),
        Ok(_) => report.fine("files", shown(path), "the socket's mode is the configured one"),
    }
}

fn room(journal: &Path, report: &mut Report) {
    let folder = journal.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let free = match rustix::fs::statvfs(folder) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => return unreadable("disk", folder, &error.into(), report),
    };
    let found = format!("{} MiB free for the journal, which is never cut", free / (1024 * 1024));
    let remedy = "give the journal a larger disk: the signer signs nothing that it can't write down";
    if free < ROOM_ERROR {
        report.fail("disk", shown(folder), found, remedy);
    } else if free < ROOM_WARNING {
        report.warn("disk", shown(folder), found, remedy);
    } else {
        report.fine("disk", shown(folder), found);
    }
}

/// What the services that keep a clock leave while they run.
const TIME_SERVICES: [(&str, &str); 4] = [
    ("systemd-timesyncd", "/run/systemd/timesync/synchronized"),
    ("chrony", "/run/chrony/chronyd.pid"),
    ("chrony", "/run/chronyd.pid"),
    ("ntpd", "/run/ntpd.pid"),
];

fn clock(report: &mut Report) {
    let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source =
        fs::read_to_string(source).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned());
    let about = "this host";
    match TIME_SERVICES.iter().find(|(_, trace)| Path::new(trace).exists()) {
        Some((service, _)) => report.fine(
            "clock",
            about,
            format!("kept right by {service}; the kernel counts by {source}"),
        ),
        None => report.warn(
            "clock",
            about,
            format!("no time service was found; the kernel counts by {source}"),
            "run chrony or systemd-timesyncd: the signer refuses certificates that begin more than 10 minutes off its \
             clock, and stops when the clock is behind its journal",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_in_a_folder_that_is_open_to_all_is_as_open() {
        let outer = tempfile::tempdir().expect("a folder");
        let path = outer.path().join("inner/signer.toml");
        fs::create_dir(outer.path().join("inner")).expect("made");
        fs::write(&path, "").expect("written");
        let mode =
            |mode| fs::set_permissions(outer.path(), fs::Permissions::from_mode(mode)).expect("mode set");
        assert_eq!(open_folder(&path), None);
        mode(0o777);
        let found = open_folder(&path).expect("found");
        assert_eq!(found, outer.path().canonicalize().expect("there"));
        mode(0o1777);
        assert_eq!(open_folder(&path), None, "as /tmp is");
    }
}
