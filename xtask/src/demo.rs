//! `cargo xtask demo`: the page on this machine, or as a folder for any static host.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::Args;

use crate::compress;
use crate::serve::Serving;
use crate::site::Site;
use crate::wasm::{self, Engine, Purpose};

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
    /// Serve the model bundle of this folder alone
    /// [default: models/default, with models/fast to choose]
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Send no headers that isolate the page, as hosts of plain files do: its first visit then
    /// computes with one thread
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
        let site = Site::release(&Engine::ALL, bundle)?.measuring(&Engine::ALL)?;
        site.write_to(folder)?;
        compress::beside(folder)?;
        println!(
            "The site is in {}. Any static host can serve it, under any path (docs/hosting.md).",
            folder.display()
        );
        return print_sizes(folder);
    }
    // A newcomer sees the page with the first engine; the others take minutes more. Whoever has
    // them waits, and is never served those of an older state.
    let (now, later): (Vec<_>, Vec<_>) = Engine::ALL
        .into_iter()
        .partition(|engine| *engine == Engine::Cpu || engine.is_built());
    if !later.is_empty() {
        println!(
            "building the page's first engine, about 4 minutes on two cores; the page is served as soon as it is there"
        );
    }
    let mut site = Site::build(&now, bundle)?.measuring(&now)?;
    for engine in &later {
        let package = engine.package(Purpose::Testing);
        fs::create_dir_all(&package)?; // a folder that is not there has no addresses
        for address in [Some(engine.address()), engine.measuring()] {
            site = address.map_or(site.clone(), |address| site.and(&address, &package));
        }
    }
    let site = Arc::new(site);
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
    for engine in later {
        match wasm::build(engine, Purpose::Testing) {
            Ok(_) => println!(
                "The page has {} the next time it is loaded.",
                engine.gives()
            ),
            Err(error) => eprintln!("The page does without {}: {error:#}", engine.gives()),
        }
    }
    serving.wait();
    Ok(())
}

/// What visitors load of a written site, from a host that sends the files compressed by brotli.
fn print_sizes(folder: &Path) -> Result<()> {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let at = |address: &str| folder.join(address);
    let model = compress::sent(&at("models/default"), &[])?;
    let page = compress::sent(folder, &[&at("models"), &at("pkg")])?;
    println!(
        "A first visit loads, in MB, the page {:.2}, the model {:.2} and an engine:",
        megabytes(page),
        megabytes(model)
    );
    for engine in Engine::ALL {
        let bytes = compress::sent(&at(&engine.address()), &[])?;
        println!(
            "  {:<12} {:.2}, {:.2} in all",
            engine.name(),
            megabytes(bytes),
            megabytes(page + model + bytes)
        );
    }
    println!("Later visits load what has changed, and nothing without a network.");
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::site::Site;
    use crate::workspace::root;

    #[test]
    fn hosts_are_given_the_page_s_policy() {
        let policy = Site::of_folder(&root().join("web")).policy().unwrap();
        for file in ["_headers", "nginx.conf", "htaccess"] {
            let text = std::fs::read_to_string(root().join("docs/hosting").join(file)).unwrap();
            assert!(text.contains(&policy), "{file}");
        }
    }
}
