//! The `train` command: whatever it is given ends in one line.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn train(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    let command = command.args(args).env_remove("RUST_BACKTRACE");
    command.output().expect("it starts")
}

fn refused(args: &[&str], word: &str) {
    let started = Instant::now();
    let output = train(args);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
    assert!(
        text.starts_with("train: ") && text.trim_end().lines().count() == 1,
        "{args:?}: {text}"
    );
    assert!(text.contains(word), "{args:?}: no {word:?} in {text}");
    assert!(started.elapsed() < Duration::from_secs(20), "{args:?}");
}

#[cfg(unix)]
#[test]
fn endless_files_and_pipes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let pipe = path("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let checkpoint = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/reference/goldens/pipeline_sd1"
    );
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/finetune.toml");
    let run = run.display().to_string();
    let folder = path("folder");
    for bad in ["/dev/zero", &pipe] {
        refused(
            &[
                "curve",
                "--run",
                &run,
                "--folder",
                bad,
                "--out",
                &path("x.svg"),
            ],
            "nothing was trained",
        );
        let finetune = |run: &str, data: &str| {
            let args = ["finetune", "--checkpoint", checkpoint, "--folder", &folder];
            refused(&[&args[..], &["--run", run, "--data", data]].concat(), bad);
        };
        finetune(bad, &path("data"));
        finetune(&run, bad);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn standard_output_that_cannot_be_written_is_said_so() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reference/goldens");
    let dir = tempfile::tempdir().unwrap();
    let mut import = Command::new(env!("CARGO_BIN_EXE_train"));
    import.args(["import", "--checkpoint", &format!("{golden}/pipeline_sd1")]);
    import.arg("--out").arg(dir.path().join("bundle"));
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = import
        .env_remove("RUST_BACKTRACE")
        .stdout(full)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said.trim_end(),
        "train: standard output cannot be written: No space left on device (os error 28)"
    );
}
