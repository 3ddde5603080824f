//! What is left when a program is killed, or its disk is full, at each of its writes, renames and
//! removals: what was good before, or what is good after. Needs strace, which `cargo xtask test`
//! installs where it can.
#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use roentgen_web::checkpoint::ModelFolder;
use roentgen_web::weights::Weights;
use tempfile::TempDir;

mod tiny;

/// Every call by which a program changes a file or a folder; those that do it by mapped memory are
/// none of ours.
const CHANGES: &str = "write,pwrite64,writev,fsync,fdatasync,ftruncate,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,copy_file_range,sendfile";

const CHECKPOINTS: [&str; 2] = ["pipeline_sd1", "pipeline_dc"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/reference/goldens")
        .join(name)
}

fn has_strace() -> bool {
    let found = Command::new("strace").arg("--version").output().is_ok();
    if !found {
        println!("skipped: there is no strace");
    }
    found
}

fn train(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.args(args).stdin(Stdio::null());
    command
        .env("RAYON_NUM_THREADS", "1")
        .env_remove("RUST_BACKTRACE");
    command
}

/// The command under strace with an injection at the calls of [`CHANGES`].
fn traced(command: &Command, injection: &str, log: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(log);
    strace.arg("-e").arg(format!("trace={CHANGES}"));
    strace.arg("-e").arg(format!("inject={injection}"));
    strace.arg(command.get_program()).args(command.get_args());
    strace.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    strace
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    strace
}

/// Runs a command that stops after each of its changes, and hands out a copy of `folder` as a kill
/// would leave it there. The number of copies.
fn at_each_change(command: &Command, folder: &Path, mut look: impl FnMut(&Path)) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    fs::write(&log, "").unwrap();
    let mut strace = traced(command, &format!("{CHANGES}:signal=SIGSTOP"), &log)
        .spawn()
        .unwrap();
    let mut count = 0;
    while let Some(process) = next_stop(&mut strace, &log, count) {
        count += 1;
        let left = dir.path().join("left");
        if folder.exists() {
            copy(folder, &left);
        } else {
            fs::create_dir(&left).unwrap();
        }
        look(&left);
        fs::remove_dir_all(&left).unwrap();
        let go_on = Command::new("kill").args(["-CONT", &process]).status();
        assert!(go_on.unwrap().success());
    }
    let output = strace.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    count
}

/// The process once it has stopped for another time after `count` stops; nothing when it has ended.
fn next_stop(strace: &mut Child, log: &Path, count: usize) -> Option<String> {
    let began = Instant::now();
    loop {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "it neither stops nor ends"
        );
        let text = fs::read_to_string(log).unwrap();
        let mut stops = text.lines().filter(|line| line.contains("--- SIGSTOP {"));
        if let Some(stop) = stops.nth(count) {
            let thread = stop.split(' ').next().unwrap();
            let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap();
            let process = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
            let process = process.unwrap().trim().to_owned();
            // Each of its threads says so when it stands still.
            let threads = fs::read_dir(format!("/proc/{process}/task"))
                .unwrap()
                .count();
            let after = text.split("--- SIGSTOP {").nth(count + 1).unwrap();
            let standing = after
                .lines()
                .filter(|line| line.ends_with("--- stopped by SIGSTOP ---"));
            if standing.count() >= threads {
                return Some(process);
            }
        } else if strace.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::sleep(Duration::from_micros(300));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The files of a folder with what is in them.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            all.extend(files(&entry.path()))
        } else {
            drop(all.insert(entry.path(), fs::read(entry.path()).unwrap()))
        }
    }
    all
}

/// What a reader of the folder can see: not the files that are being written.
fn visible(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let hidden = |path: &Path| path.extension().is_some_and(|ending| ending == "tmp");
    let files = files(folder).into_iter().filter(|(path, _)| !hidden(path));
    files
        .map(|(path, bytes)| (path.strip_prefix(folder).unwrap().into(), bytes))
        .collect()
}

fn weights(folder: &Path) -> Weights {
    let model = ModelFolder::open(folder).unwrap();
    model.weights().flat_map(|part| part.unwrap()).collect()
}

fn succeeded(output: Output) {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn import(checkpoint: &str, out: &Path) -> Command {
    let checkpoint = golden(checkpoint).display().to_string();
    train(&[
        "import",
        "--checkpoint",
        &checkpoint,
        "--out",
        &out.display().to_string(),
    ])
}

/// Two bundles: the one that is there, and the one that is written over it.
fn bundles(dir: &TempDir) -> [PathBuf; 2] {
    let paths = ["old", "new"].map(|name| dir.path().join(name));
    for (checkpoint, path) in CHECKPOINTS.iter().zip(&paths) {
        succeeded(import(checkpoint, path).output().unwrap());
    }
    paths
}

#[test]
fn a_bundle_is_the_old_or_the_new_one_whenever_its_writer_is_killed() {
    if !has_strace() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [old, new] = bundles(&dir);
    let [before, after] = [&old, &new].map(|folder| weights(folder));
    let written = files(&new).len();
    let mut seen = BTreeSet::new();
    let mut both = [0, 0];
    let count = at_each_change(&import(CHECKPOINTS[1], &old), &old, |left| {
        let found = weights(left);
        assert!(found == before || found == after);
        both[usize::from(found == after)] += 1;
        // Whoever gives the command again has the new one, and nothing of the first attempt.
        if seen.insert(visible(left)) {
            succeeded(import(CHECKPOINTS[1], left).output().unwrap());
            assert!(weights(left) == after);
            assert_eq!(files(left).len(), written, "{:?}", files(left).keys());
        }
    });
    println!("import: {count} changes, {} states, {both:?}", seen.len());
    assert!(
        count >= 10 && both[0] > 5 && both[1] > 0,
        "{count} changes, {both:?}"
    );
}

#[test]
fn a_full_disk_leaves_the_old_bundle_and_a_sentence() {
    if !has_strace() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [old, new] = bundles(&dir);
    let [before, after] = [&old, &new].map(|folder| visible(folder));
    let (mut refused, mut kept) = (0, 0);
    for call in ["write", "fsync", "mkdir", "rename"] {
        for nth in 1.. {
            let out = dir.path().join("out");
            copy(&old, &out);
            // Once, as the sentence has to be written too.
            let injection = format!("{call}:error=ENOSPC:when={nth}");
            let log = dir.path().join("log");
            let output = traced(&import(CHECKPOINTS[1], &out), &injection, &log)
                .output()
                .unwrap();
            let injected = fs::read_to_string(&log).unwrap().contains("(INJECTED)");
            let said = String::from_utf8(output.stderr).unwrap();
            if output.status.success() {
                assert!(visible(&out) == after || !injected, "{call} {nth}: {said}");
            } else {
                refused += 1;
                assert_eq!(said.trim_end().lines().count(), 1, "{call} {nth}: {said}");
                assert!(said.starts_with("train: "), "{call} {nth}: {said}");
                // The last line of all may fail when the new bundle is whole.
                let left = visible(&out);
                assert!(left == before || left == after, "{call} {nth}: {said}");
                kept += usize::from(left == before);
            }
            fs::remove_dir_all(&out).unwrap();
            if !injected {
                break;
            }
        }
    }
    println!("full disk: {refused} refusals, {kept} with the old bundle");
    assert!(kept >= 8 && refused - kept <= 1, "{refused}, {kept}");
}

/// A training that lasts a second.
struct Training {
    dir: TempDir,
}

impl Training {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        tiny::write(&data);
        fs::write(dir.path().join("run.toml"), tiny::RUN).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn vae(&self, folder: &Path) -> Command {
        let paths = [&self.path("run.toml"), folder, &self.path("data")];
        let [run, folder, data] = paths.map(|path| path.display().to_string());
        train(&["vae", "--run", &run, "--folder", &folder, "--data", &data])
    }
}

/// What a training of the autoencoder has learned.
fn ema(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("vae/checkpoint/ema.safetensors")).unwrap()
}

#[test]
fn a_training_on_a_full_disk_ends_in_a_sentence_and_goes_on() {
    if !has_strace() {
        return;
    }
    let training = Training::new();
    let whole = training.path("whole");
    succeeded(training.vae(&whole).output().unwrap());
    let (mut refused, mut went_on) = (0, 0);
    // Of the writes, which are more than a thousand, each of the first and some of the others.
    for (call, each, step) in [
        ("write", 8, 61),
        ("fsync", 4, 3),
        ("mkdir", 8, 1),
        ("rename", 4, 3),
    ] {
        let mut nth = 1;
        loop {
            let folder = training.path("run");
            let injection = format!("{call}:error=ENOSPC:when={nth}");
            let log = training.path("log");
            let command = training.vae(&folder);
            let output = traced(&command, &injection, &log).output().unwrap();
            let injected = fs::read_to_string(&log).unwrap().contains("(INJECTED)");
            let said = String::from_utf8(output.stderr).unwrap();
            if output.status.success() {
                went_on += usize::from(injected);
            } else {
                refused += 1;
                assert_eq!(said.trim_end().lines().count(), 1, "{call} {nth}: {said}");
                assert!(said.starts_with("train: "), "{call} {nth}: {said}");
                succeeded(training.vae(&folder).output().unwrap());
            }
            assert!(ema(&folder) == ema(&whole), "{call} {nth}: {said}");
            fs::remove_dir_all(&folder).unwrap();
            if !injected {
                break;
            }
            nth += if nth < each { 1 } else { step };
        }
    }
    println!("training on a full disk: {refused} refusals, {went_on} times it went on");
    assert!(refused > 20 && went_on <= 4, "{refused}, {went_on}");
}

#[test]
fn a_training_goes_on_whenever_it_was_killed() {
    if !has_strace() {
        return;
    }
    let training = Training::new();
    let whole = training.path("whole");
    succeeded(training.vae(&whole).output().unwrap());
    let names = |folder: &Path| -> Vec<PathBuf> {
        let names = files(folder).into_keys();
        let names = names.filter(|path| !path.starts_with(folder.join("sheets")));
        names
            .map(|path| path.strip_prefix(folder).unwrap().into())
            .collect()
    };
    let folder = training.path("run");
    let mut seen = BTreeSet::new();
    let count = at_each_change(&training.vae(&folder), &folder, |left| {
        // A line of the log more or less is the same state. A sheet of a step that is done is not
        // drawn again.
        let state = visible(left)
            .into_iter()
            .filter(|(path, _)| !path.ends_with("log.csv"));
        if seen.insert(state.collect::<Vec<_>>()) {
            succeeded(training.vae(left).output().unwrap());
            assert!(ema(left) == ema(&whole), "{:?}", names(left));
            assert_eq!(names(left), names(&whole));
        }
    });
    println!("training: {count} changes, {} states", seen.len());
    assert!(
        count > 20 && seen.len() > 5,
        "{count} changes, {} states",
        seen.len()
    );
}
