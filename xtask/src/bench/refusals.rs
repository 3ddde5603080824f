//! `cargo xtask bench refusals`: what each kind of bad input costs until it is refused
//! (docs/security.md).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::browser;
use crate::workspace::{cargo, command};

/// What is brought, the program of tests, and the test in it that brings it, with others of its
/// kind, and expects its words.
const TESTS: [(&str, &str, &str); 19] = [
    (
        "DICOM: segments, deflated data and sizes without end",
        "test pictures",
        "dicom_that_is_made_to_do_harm_is_refused",
    ),
    (
        "DICOM: 8,000 nested sequences",
        "test pictures",
        "sequences_in_sequences_cost_no_stack",
    ),
    (
        "DICOM: 4096 x 4096, RLE (read)",
        "test pictures",
        "a_large_image_of_long_runs_is_read",
    ),
    (
        "pictures: 1 x 8,000,000 pixels and others",
        "test pictures",
        "large_and_damaged_pictures_are_refused_in_one_line",
    ),
    (
        "tokenizers with parts that CLIP's have not",
        "lib roentgen_web",
        "tokens::tests::parts_that_no_clip_tokenizer_has",
    ),
    (
        "checkpoints: networks without end",
        "test checkpoint",
        "configs::configs_of_networks_without_end",
    ),
    (
        "checkpoints: files that are something else",
        "test checkpoint",
        "strangers::files_that_are_something_else",
    ),
    (
        "bundles: values of other types",
        "test bundle",
        "manifests::values_of_other_types",
    ),
    (
        "bundles: names that lead out of the folder",
        "test bundle",
        "manifests::names_that_lead_out_of_the_folder",
    ),
    (
        "exports beside files of others",
        "test bundle",
        "round_trip::files_of_others_stay",
    ),
    (
        "`--out` on links, devices, folders",
        "lib roentgen_web",
        "files::tests::links_are_followed_and_devices_are_left_alone",
    ),
    (
        "leftovers of interrupted writes",
        "lib roentgen_web",
        "files::tests::what_interrupted_writes_left_is_swept",
    ),
    ("settings out of range", "test cli", "bad_arguments"),
    (
        "folders and files that are none",
        "test cli",
        "bad_folders_and_files",
    ),
    (
        "damaged checkpoints; control characters in names",
        "test cli",
        "checkpoints_that_are_damaged",
    ),
    (
        "pipes, `/dev/zero`, captions of 100 MB",
        "test command",
        "endless_files_and_pipes_are_refused",
    ),
    (
        "two trainings in one folder",
        "lib train",
        "training::folder::tests::a_folder_has_one_training_at_a_time",
    ),
    (
        "a cut between the renames of a checkpoint",
        "lib train",
        "training::folder::tests::the_old_checkpoint_is_found_after_a_cut_between_the_renames",
    ),
    (
        "another name for the development server",
        "bin xtask",
        "host::tests::a_server_shows_nothing_to_another_name",
    ),
];

/// The same for the checks in a browser.
const CHECKS: [(&str, &str); 5] = [
    (
        "page: links and settings, mutated (`#constructor=1`)",
        "mutated links",
    ),
    (
        "page: manifests with values of other types, `?bundle=%`",
        "a manifest that cannot be",
    ),
    (
        "page: manifests and tokenizers without end",
        "a file without end",
    ),
    ("page: a kept model that cannot be", "a kept model"),
    ("page: model cards in HTML", "a model card"),
];

/// Runs each test alone and prints its time and the most memory that one of its processes had.
///
/// # Errors
/// If a test is not there or fails, and where there is no `/proc`.
pub fn measure() -> Result<()> {
    ensure!(
        Path::new("/proc/self/status").exists(),
        "peak memory is read from /proc, which only Linux has"
    );
    let programs = programs()?;
    println!("| brought | time (s) | peak memory (MB) |\n|---|--:|--:|");
    for (what, program, test) in TESTS {
        let program = programs.get(program);
        let mut alone =
            command(program.with_context(|| format!("there is no program for {test}"))?);
        alone.args([test, "--exact"]).stdout(Stdio::piped());
        let child = alone.stderr(Stdio::null()).spawn()?;
        let cost = Cost::of(child.id(), || Ok(child.wait_with_output()?))?;
        let said = String::from_utf8_lossy(&cost.result.stdout);
        ensure!(said.contains("1 passed"), "{test}: {said}");
        cost.print(what);
    }
    for (what, check) in CHECKS {
        // The browser is a child of this process.
        Cost::of(std::process::id(), || browser::run(None, check))?.print(what);
    }
    Ok(())
}

/// The test programs that cargo builds, by kind and name.
fn programs() -> Result<BTreeMap<String, PathBuf>> {
    let mut build = cargo(&["test", "--no-run", "--workspace", "--locked", "--quiet"]);
    build.args(["--message-format", "json-render-diagnostics"]);
    let output = build.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the tests do not build");
    let lines = String::from_utf8_lossy(&output.stdout);
    let messages = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(messages
        .filter_map(|message| {
            let target = &message["target"];
            let [kind, name] = [&target["kind"][0], &target["name"]].map(Value::as_str);
            let kind = kind.map(|kind| if kind.ends_with("lib") { "lib" } else { kind });
            let path = message["executable"].as_str()?;
            Some((format!("{} {}", kind?, name?), path.into()))
        })
        .collect())
}

/// What something took.
struct Cost<T> {
    result: T,
    time: Duration,
    /// Of the largest process.
    bytes: u64,
}

impl<T> Cost<T> {
    /// Does something while the memory of process `id` and its children is watched.
    fn of(id: u32, work: impl FnOnce() -> Result<T>) -> Result<Self> {
        let done = AtomicBool::new(false);
        let started = Instant::now();
        let (result, bytes) = thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut most = 0;
                while !done.load(Ordering::Relaxed) {
                    most = most.max(peak(id));
                    thread::sleep(Duration::from_millis(2));
                }
                most
            });
            let result = work();
            done.store(true, Ordering::Relaxed);
            (result, watch.join().expect("no panic"))
        });
        Ok(Self {
            result: result?,
            time: started.elapsed(),
            bytes,
        })
    }

    fn print(&self, what: &str) {
        let [seconds, megabytes] = [self.time.as_secs_f64(), self.bytes as f64 / 1e6];
        println!("| {what} | {seconds:.1} | {megabytes:.0} |");
    }
}

/// The most memory that process `id`, or a descendant of it that still runs, has had, in bytes.
fn peak(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let own = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let own = own.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let threads = fs::read_dir(format!("/proc/{id}/task"))
        .into_iter()
        .flatten();
    let children = threads.flatten().flat_map(|thread| {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children
            .split(' ')
            .filter_map(|id| id.trim().parse().ok())
            .collect::<Vec<u32>>()
    });
    children.map(peak).fold(own.unwrap_or(0) * 1024, u64::max)
}
