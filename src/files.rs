//! Files that we write, and paths that a file names. Every file that may be there already is
//! written by [`replace`].

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Error, Result};

/// How many links are followed from one to the next, as many as Linux does.
const LINKS: usize = 40;

/// How many hidden files are begun before a write gives up, each lost to another writer's sweep.
const ATTEMPTS: usize = 100;

/// The path of a file that a table in `folder` names; one outside of the folder is refused, as a
/// table may be a stranger's.
///
/// # Errors
/// The end of a sentence on the name.
pub fn inside(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let mut parts = Path::new(name).components();
    if parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        Ok(folder.join(name))
    } else {
        Err("is outside of the folder of its table".into())
    }
}

/// Writes a file beside its place and renames it there, so that a good file is never replaced by
/// half of one. Links are followed; a folder, a device or a pipe is left alone. Sweeps what
/// interrupted writes left in the folder.
///
/// # Errors
/// [`Error::Io`].
pub fn replace(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    let bytes = bytes.as_ref();
    replace_with(path, |file| file.write_all(bytes).map_err(Error::io(path)))
}

/// As [`replace`], for what is written in pieces.
///
/// # Errors
/// [`Error::Io`], and those of `write`.
pub fn replace_with(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
) -> Result<()> {
    let begin = || {
        let (target, old) = replaceable(path)?;
        sweep(folder(&target));
        let (file, temporary) = temporary(&target)?;
        Ok((target, old, BufWriter::new(file), temporary))
    };
    let (target, old, mut file, temporary) = begin().map_err(Error::io(path))?;
    let written = write(&mut file).and_then(|()| {
        let end = || {
            file.flush()?;
            let file = file.get_ref();
            if let Some(old) = old {
                file.set_permissions(old.permissions())?;
            }
            file.sync_all()?;
            fs::rename(&temporary, &target)
        };
        end().map_err(Error::io(path))
    });
    written.inspect_err(|_| {
        let _ = fs::remove_file(&temporary); // the first error is the one to tell
    })
}

/// Whether [`replace`] could write there, as far as can be seen before the work is done.
///
/// # Errors
/// [`Error::Io`].
pub fn check_replaceable(path: &Path) -> Result<()> {
    let check = || {
        let (target, _) = replaceable(path)?;
        if fs::metadata(folder(&target))?.is_dir() {
            Ok(())
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    };
    check().map_err(Error::io(path))
}

/// Where the links from `path` end, and what is there.
fn replaceable(path: &Path) -> io::Result<(PathBuf, Option<Metadata>)> {
    let mut target = path.to_path_buf();
    for _ in 0..LINKS {
        if target.file_name().is_none() {
            return Err(refused("it names no file".into()));
        }
        let data = match fs::symlink_metadata(&target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((target, None)),
            data => data?,
        };
        if !data.is_symlink() {
            regular(&data)?;
            return Ok((target, Some(data)));
        }
        target = folder(&target).join(fs::read_link(&target)?);
    }
    Err(refused("its links lead in a circle".into()))
}

fn regular(data: &Metadata) -> io::Result<()> {
    match data.file_type() {
        kind if kind.is_file() => Ok(()),
        kind if kind.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(refused(
            "it is a pipe or a device, and a file is needed".into(),
        )),
    }
}

fn refused(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// The folder that holds `file`.
fn folder(file: &Path) -> &Path {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// A new hidden file beside `target`, locked for as long as it is being written, so that nobody
/// sweeps it.
fn temporary(target: &Path) -> io::Result<(File, PathBuf)> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    for _ in 0..ATTEMPTS {
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = target.with_file_name(format!(".{name}.{process}.{number}.tmp"));
        let file = match File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            file => file?,
        };
        match file.lock() {
            // Some file systems have no locks.
            Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
            _ => {}
        }
        // Another writer's sweep may have come between the file and its lock.
        if path.try_exists()? {
            return Ok((file, path));
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Removes files that [`replace`] left in a folder when it was interrupted: they are named as it
/// names them, and nobody holds their lock.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let parts = name.to_str().and_then(|name| {
            name.strip_prefix('.')?
                .strip_suffix(".tmp")?
                .rsplit_once('.')
        });
        let is_ours =
            parts.is_some_and(|(name, process)| !name.is_empty() && process.parse::<u32>().is_ok());
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_ours
            && is_file
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path()); // it is in nobody's way
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name =
            |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_replaced_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.png");
        for bytes in [b"one", b"two"] {
            replace(&file, bytes).unwrap();
            assert_eq!(fs::read(&file).unwrap(), bytes);
        }
        for path in [
            dir.path(),
            Path::new("/"),
            Path::new(".."),
            &file.join("under"),
        ] {
            assert!(check_replaceable(path).is_err(), "{path:?}");
            assert_eq!(replace(path, b"no").unwrap_err().code(), "io", "{path:?}");
        }
        assert!(check_replaceable(&dir.path().join("no/folder")).is_err());
        assert_eq!(names(dir.path()), ["a.png"]);
        assert_eq!(fs::read(&file).unwrap(), b"two");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_devices_are_left_alone() {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("far")).unwrap();
        fs::write(path("far/file"), b"old").unwrap();
        fs::set_permissions(path("far/file"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("far/file", path("link")).unwrap();
        symlink("link", path("link of link")).unwrap();
        symlink("far/new", path("link to nothing")).unwrap();
        symlink("circle", path("circle")).unwrap();
        symlink("/dev/null", path("device")).unwrap();
        symlink("far", path("folder")).unwrap();
        let pipe = std::process::Command::new("mkfifo")
            .arg(path("pipe"))
            .status();
        assert!(pipe.unwrap().success());

        replace(&path("link of link"), b"new").unwrap();
        assert_eq!(fs::read(path("far/file")).unwrap(), b"new");
        assert!(path("link of link").is_symlink() && path("link").is_symlink());
        let mode = fs::metadata(path("far/file")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        replace(&path("link to nothing"), b"new").unwrap();
        assert_eq!(fs::read(path("far/new")).unwrap(), b"new");
        for name in ["circle", "device", "folder", "pipe"] {
            assert!(check_replaceable(&path(name)).is_err(), "{name}");
            assert_eq!(
                replace(&path(name), b"no").unwrap_err().code(),
                "io",
                "{name}"
            );
        }
        assert!(
            fs::symlink_metadata(path("pipe"))
                .unwrap()
                .file_type()
                .is_fifo()
        );
        assert_eq!(names(&path("far")), ["file", "new"]);
    }

    #[test]
    fn what_interrupted_writes_left_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        // Two were left; the others are not ours, or being written.
        for name in [
            ".a.png.77.tmp",
            ".weights-0.safetensors.4294967295.tmp",
            ".b.png.x.tmp",
            "c.9.tmp",
            "..9.tmp",
            ".d.png.9.tmp",
        ] {
            fs::write(path(name), b"").unwrap();
        }
        let written = File::open(path(".d.png.9.tmp")).unwrap();
        written.lock().unwrap();
        replace(&path("a.png"), b"new").unwrap();
        assert_eq!(
            names(dir.path()),
            [
                "..9.tmp",
                ".b.png.x.tmp",
                ".d.png.9.tmp",
                "a.png",
                "c.9.tmp"
            ]
        );
    }

    #[test]
    fn writers_of_one_folder_leave_each_other_s_files_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let dir = dir.path();
                scope.spawn(move || {
                    for i in 0..100 {
                        replace(&dir.join(format!("{writer}-{}", i % 4)), b"new").unwrap();
                        replace(&dir.join("all"), b"new").unwrap();
                    }
                });
            }
        });
        assert_eq!(names(dir.path()).len(), 8 * 4 + 1);
    }

    #[test]
    fn a_table_names_files_in_its_folder() {
        let dir = Path::new("data");
        for name in ["a.png", "b/a.png", "./a.png", "b..c", "..."] {
            assert_eq!(inside(dir, name).unwrap(), dir.join(name));
        }
        for name in ["../a.png", "b/../../a.png", "/etc/passwd", ".."] {
            assert!(inside(dir, name).is_err(), "{name}");
        }
    }
}
