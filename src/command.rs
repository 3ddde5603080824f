//! How a command ends: in silence, or with one line that says what went wrong.

use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use crate::Result;

/// How `println!` begins when it panics.
const PRINTING: &str = "failed printing to stdout: ";

/// Runs the command `name`. An error is one line; so is a panic, with `advice` behind it: the GPU's
/// driver and runtime report lost devices and full memory by panicking. With `RUST_BACKTRACE` set,
/// a panic is also printed as usual.
pub fn exit(name: &str, advice: &str, run: impl FnOnce() -> Result<()>) -> ExitCode {
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        panic::set_hook(Box::new(|_| {}));
    }
    match panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => fail(name, &error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            let text = first_paragraph(text.unwrap_or("no reason was given"));
            match text.strip_prefix(PRINTING) {
                // Whoever reads along has had enough, as `head` has.
                Some(why) if why.starts_with("Broken pipe") => ExitCode::FAILURE,
                Some(why) => fail(name, &format!("standard output cannot be written: {why}")),
                None => fail(name, &format!("the computation failed ({text}); {advice}")),
            }
        }
    }
}

/// Prints why the command `name` failed.
pub fn fail(name: &str, why: &str) -> ExitCode {
    // In one piece, which no other process of the same terminal comes between.
    let line = format!("{name}: {}\n", first_paragraph(why));
    let _ = io::stderr().write_all(line.as_bytes());
    ExitCode::FAILURE
}

/// The first paragraph of a longer message, on one line.
fn first_paragraph(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let lines = text.lines().map(str::trim);
    let lines = lines.take_while(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Set for the process that panics.
    const PANICS: &str = "ROENTGEN_TEST_PANICS";

    #[test]
    fn a_panic_of_any_thread_is_one_sentence() {
        let lost = || -> Result<()> { panic!("the device is lost\n  at kernel 7\n\nmore") };
        if let Some(where_) = std::env::var_os(PANICS) {
            let run = || {
                if where_ == "thread" {
                    std::thread::scope(|scope| scope.spawn(lost).join())
                        .unwrap_or_else(|panic| panic::resume_unwind(panic))
                } else {
                    lost()
                }
            };
            std::process::exit(i32::from(
                exit("train", "try less", run) == ExitCode::FAILURE,
            ));
        }
        for place in ["here", "thread"] {
            let this = "command::tests::a_panic_of_any_thread_is_one_sentence";
            let output = Command::new(std::env::current_exe().unwrap())
                .args([this, "--exact", "--nocapture"])
                .env(PANICS, place)
                .env_remove("RUST_BACKTRACE")
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(1), "{place}");
            assert_eq!(
                String::from_utf8(output.stderr).unwrap(),
                "train: the computation failed (the device is lost at kernel 7); try less\n",
                "{place}"
            );
        }
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(
            first_paragraph("error: bad\n  worse\n\nUsage: x"),
            "bad worse"
        );
    }
}
