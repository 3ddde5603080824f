//! `cargo xtask demo`: the page on this machine, or as a folder for any static host.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;

use crate::serve::Serving;
use crate::site::Site;
use crate::wasm::{self, Engine};

/// The port when none is named.
const PORT: u16 = 8080;

/// What `demo` can be told.
#[derive(Args)]
pub struct Options {
    /// Open the page in the default browser
    #[arg(long)]
    open: bool,
    /// Port to serve on [default: 8080, or any free one when that is taken]
    #[arg(long)]
    port: Option<u16>,
    /// Serve the model bundle of this folder alone [default: models/default, with models/fast to choose]
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Send no headers that isolate the page, as hosts of plain files do: its first visit then computes with one thread
    #[arg(long)]
    not_isolated: bool,
    /// Write the finished site to this folder and serve nothing
    #[arg(long, value_name = "DIR", conflicts_with_all = ["open", "port", "not_isolated"])]
    dist: Option<PathBuf>,
}

/// Builds what the page needs, then serves or writes it.
pub fn run(options: &Options) -> Result<()> {
    let bundle = options.bundle.as_deref();
    if let Some(folder) = &options.dist {
        Site::build(&Engine::ALL, bundle)?.write_to(folder)?;
        println!(
            "The site is in {}. Any static host can serve it, under any path.",
            folder.display()
        );
        return Ok(());
    }
    let later = Engine::CpuThreads;
    let site = Site::build(&[Engine::Cpu, Engine::Gpu], bundle)?;
    let site = Arc::new(site.and(&later.address(), &later.package()));
    let serving = match options.port {
        Some(port) => Serving::start(site, port, "", false)?,
        None => Serving::start(site.clone(), PORT, "", false)
            .or_else(|_| Serving::start(site, 0, "", false))?,
    };
    if !options.not_isolated {
        serving.isolate();
    }
    println!("\nThe page is at {}   (Ctrl-C ends)", serving.address());
    if options.open
        && let Err(error) = open::that(serving.address())
    {
        eprintln!("No browser could be opened ({error}): open the address yourself.");
    }
    // The page does without this engine, which takes some minutes the first time.
    match wasm::build(later) {
        Ok(_) => println!("The page has threads from the next time it is loaded."),
        Err(error) => eprintln!("The page computes with one CPU thread: {error:#}"),
    }
    serving.wait();
    Ok(())
}
