//! The folder of a training: one process at a time, and a whole checkpoint at any moment.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use roentgen_web::error::{Error, Result};

/// The file whose lock the process that trains holds; it names the process.
const LOCK: &str = "training.lock";

/// Most bytes of a holder's name.
const HOLDER: u64 = 200;

/// The right to write into a training's folder, until it is dropped or the process ends, however it
/// ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: Option<File>,
}

/// Takes the folder of a training for this process.
///
/// # Errors
/// [`Error::Config`] naming the process that has it, [`Error::Io`] if the folder cannot be written.
pub fn lock(folder: &Path) -> Result<FolderLock> {
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let path = folder.join(LOCK);
    let mut options = fs::OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(Error::io(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // it is named as well as it can be
            let _ = (&file).take(HOLDER).read_to_string(&mut holder);
            let holder: String = holder.chars().filter(|c| !c.is_control()).collect();
            return Err(Error::config(
                folder.display().to_string(),
                format!(
                    "another training ({holder}) is writing into it; wait until it ends, or give another --folder"
                ),
            ));
        }
        // Some file systems have no locks.
        Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {
            return Ok(FolderLock { _file: None });
        }
        Err(TryLockError::Error(e)) => return Err(Error::io(&path)(e)),
    }
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let holder = format!("process {} {}", std::process::id(), host.trim());
    let mut name = || {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(holder.trim().as_bytes())
    };
    name().map_err(Error::io(&path))?;
    Ok(FolderLock { _file: Some(file) })
}

/// Where the training in `folder` keeps its last checkpoint. A checkpoint is written as
/// `checkpoint.new`, `checkpoint` makes room as `checkpoint.old`, and the new one takes its place;
/// where a process ended between the last two, the old one is put back. What else it left is
/// removed, so the folder has to be [`lock`]ed.
///
/// # Errors
/// [`Error::Io`].
pub fn checkpoint(folder: &Path) -> Result<PathBuf> {
    let (current, old) = (folder.join("checkpoint"), folder.join("checkpoint.old"));
    if !current.exists() && old.exists() {
        fs::rename(&old, &current).map_err(Error::io(&old))?;
    }
    for left in [old, folder.join("checkpoint.new")] {
        if left.exists() {
            fs::remove_dir_all(&left).map_err(Error::io(&left))?;
        }
    }
    Ok(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_training_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run");
        let held = lock(&folder).unwrap();
        let error = lock(&folder).unwrap_err().to_string();
        let holder = format!("process {}", std::process::id());
        assert!(error.contains(&holder) && error.contains("run"), "{error}");
        drop(held);
        lock(&folder).unwrap();
    }

    #[test]
    fn the_old_checkpoint_is_found_after_a_cut_between_the_renames() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        assert_eq!(checkpoint(dir.path()).unwrap(), path("checkpoint"));
        for name in ["checkpoint.old", "checkpoint.new"] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join("state.json"), name).unwrap();
        }
        let state = || fs::read_to_string(checkpoint(dir.path()).unwrap().join("state.json"));
        assert_eq!(state().unwrap(), "checkpoint.old");
        let left = || ["checkpoint.old", "checkpoint.new"].map(|name| path(name).exists());
        assert_eq!(left(), [false, false]);
        // Nothing is put back over a checkpoint that is there.
        fs::create_dir(path("checkpoint.old")).unwrap();
        assert_eq!(state().unwrap(), "checkpoint.old");
        assert_eq!(left(), [false, false]);
    }
}
