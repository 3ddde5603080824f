//! The page as a static site: which file answers which address. Served or copied, it is the same
//! list.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::release;
use crate::wasm::{self, Engine, Purpose};
use crate::workspace::{copy_where, root, target};

/// The folder of `web/` with pictures for its README, which is no part of the site.
pub const PICTURES: &str = "screenshots";

/// The bundles of the site; the first is for visitors who choose none.
const SHIPPED: [&str; 2] = ["default", "fast"];

/// Folders under their addresses.
#[derive(Clone)]
pub struct Site {
    /// (address without slashes at its ends, folder), the more particular first.
    mounts: Vec<(String, PathBuf)>,
}

impl Site {
    /// Builds the engines for tests and takes `web/`, and the model bundles that are shipped or,
    /// where one is named, that one alone.
    pub fn build(engines: &[Engine], bundle: Option<&Path>) -> Result<Site> {
        Site::with_engines(engines, Purpose::Testing, bundle)
    }

    /// The same with the engines that visitors have; the measuring page has its own.
    pub fn release(engines: &[Engine], bundle: Option<&Path>) -> Result<Site> {
        Site::with_engines(engines, Purpose::Release, bundle)
    }

    fn with_engines(engines: &[Engine], purpose: Purpose, bundle: Option<&Path>) -> Result<Site> {
        let bundles = match bundle {
            Some(folder) => vec![(SHIPPED[0], folder.to_path_buf())],
            None => SHIPPED
                .map(|name| (name, root().join("models").join(name)))
                .to_vec(),
        };
        let list = list(&bundles)?;
        let mut mounts = Vec::new();
        for &engine in engines {
            mounts.push((engine.address(), wasm::build(engine, purpose)?));
        }
        for (name, folder) in bundles {
            mounts.push((format!("models/{name}"), folder));
        }
        mounts.push(("models".to_owned(), list));
        Site { mounts }.with_page(&root().join("web"))
    }

    /// The folder of the model of visitors who choose none.
    pub fn bundle(&self) -> &Path {
        self.mounts
            .iter()
            .find(|(address, _)| address == "models/default")
            .map_or(Path::new(""), |(_, folder)| folder)
    }

    /// The page's modules and some engines under `page/`: without a page at the top there is no
    /// policy.
    pub fn of_engines(engines: &[Engine]) -> Result<Site> {
        let mut mounts = Vec::new();
        for &engine in engines {
            mounts.push((
                format!("page/{}", engine.address()),
                wasm::build(engine, Purpose::Testing)?,
            ));
        }
        mounts.push(("page".to_owned(), root().join("web")));
        Ok(Site { mounts })
    }

    /// The same site with the engines of the measuring page, built where they are not fresh.
    pub fn measuring(self, engines: &[Engine]) -> Result<Site> {
        engines.iter().try_fold(self, |site, engine| {
            Ok(match engine.measuring() {
                Some(address) => site.and(&address, &wasm::build(*engine, Purpose::Testing)?),
                None => site,
            })
        })
    }

    /// A folder as it is.
    pub fn of_folder(folder: &Path) -> Site {
        Site {
            mounts: vec![(String::new(), folder.to_path_buf())],
        }
    }

    /// The same site with another model.
    pub fn with_bundle(&self, bundle: &Path) -> Site {
        self.with("models/default", bundle)
    }

    /// The same site with another page, as a release of its own.
    ///
    /// # Errors
    /// As [`release::write`].
    pub fn with_page(&self, page: &Path) -> Result<Site> {
        let mut mounts = self.mounts.clone();
        mounts.retain(|(mount, _)| !mount.is_empty());
        let engines = mounts.iter().filter(|(mount, _)| mount.starts_with("pkg/"));
        let engines: Vec<&Path> = engines.map(|(_, folder)| folder.as_path()).collect();
        let release = release::write(page, &engines)?;
        mounts.push((String::new(), release));
        mounts.push((String::new(), page.to_path_buf()));
        Ok(Site { mounts })
    }

    /// The same site with one folder more, at an address of its own.
    pub fn and(&self, address: &str, folder: &Path) -> Site {
        let mut mounts = self.mounts.clone();
        mounts.insert(0, (address.to_owned(), folder.to_path_buf()));
        Site { mounts }
    }

    fn with(&self, address: &str, other: &Path) -> Site {
        let mut mounts = self.mounts.clone();
        mounts
            .iter_mut()
            .filter(|(mount, _)| mount == address)
            .for_each(|(_, folder)| *folder = other.to_path_buf());
        Site { mounts }
    }

    /// The Content-Security-Policy of the page.
    pub fn policy(&self) -> Option<String> {
        let text = fs::read_to_string(self.file("/")?).ok()?;
        let (_, rest) = text.split_once("content=\"default-src ")?;
        let (policy, _) = rest.split_once('"')?;
        Some(format!("default-src {policy}"))
    }

    /// The file at an address (decoded, without query); nothing outside the folders, and nothing
    /// hidden, has one.
    pub fn file(&self, address: &str) -> Option<PathBuf> {
        let address = address.strip_prefix('/')?;
        if address.contains('\\') || !Path::new(address).components().all(plain) {
            return None;
        }
        let places = self.mounts.iter();
        let mut places =
            places.filter_map(|(mount, folder)| Some((folder, below(address, mount)?)));
        let there = |(folder, rest): (&PathBuf, &str)| {
            if Path::new(rest).starts_with(PICTURES) {
                return None;
            }
            let mut file = folder.join(rest);
            if rest.is_empty() || address.ends_with('/') {
                file.push("index.html");
            }
            let file = self.inside(&file)?;
            file.is_file().then_some(file)
        };
        places.find_map(there)
    }

    /// The file or folder that a path leads to, links followed; nothing where a link leads out of
    /// the site.
    fn inside(&self, path: &Path) -> Option<PathBuf> {
        let real = path.canonicalize().ok()?;
        let holds = |(_, folder): &(String, PathBuf)| {
            let rest = real.strip_prefix(folder.canonicalize().ok()?).ok()?;
            rest.components().all(plain).then_some(())
        };
        self.mounts.iter().find_map(holds).map(|()| real)
    }

    /// Writes the whole site to a folder which is new or empty.
    pub fn write_to(&self, folder: &Path) -> Result<()> {
        self.write_folders(folder, |_| true)?;
        // GitHub Pages would otherwise run its own generator over the files.
        fs::write(folder.join(".nojekyll"), "")?;
        Ok(())
    }

    /// Writes what has one of these addresses to a folder which is new or empty.
    pub fn write_folders(&self, folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<()> {
        if folder.exists() && fs::read_dir(folder)?.next().is_some() {
            bail!(
                "{} is not empty. Name a new folder, or empty it first",
                folder.display()
            );
        }
        for (mount, source) in self.mounts.iter().filter(|(mount, _)| wanted(mount)) {
            let part = |path: &Path| {
                let out = path.is_symlink() && (path.is_dir() || self.inside(path).is_none());
                path != source.join(PICTURES) && !out
            };
            copy_where(source, &folder.join(mount), &part).with_context(|| {
                format!("cannot copy {} to {}", source.display(), folder.display())
            })?;
        }
        Ok(())
    }
}

/// Whether a part of a path is a name, and not a hidden one.
fn plain(part: Component) -> bool {
    matches!(part, Component::Normal(name) if !name.to_string_lossy().starts_with('.'))
}

/// Writes `index.json`, which tells the page what it may offer before anything of it is downloaded;
/// the folder that has it.
fn list(bundles: &[(&str, PathBuf)]) -> Result<PathBuf> {
    let mut entries = Vec::new();
    for (name, folder) in bundles {
        let file = folder.join("bundle.json");
        let text = fs::read_to_string(&file).with_context(|| {
            format!(
                "there is no model bundle in {} (no bundle.json). Name a folder that has one with --bundle DIR, \
                 or write one with `cargo run --release -p train -- export`",
                folder.display()
            )
        })?;
        let manifest: Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is not valid JSON", file.display()))?;
        let shards = manifest["shards"].as_array().into_iter().flatten();
        let files: Vec<&Value> = shards.chain([&manifest["tokenizer"]]).collect();
        entries.push(json!({
            "address": format!("{name}/"), "name": manifest["name"], "files": files, "defaults": manifest["defaults"],
        }));
    }
    let names: Vec<&str> = bundles.iter().map(|(name, _)| *name).collect();
    let folder = target().join("site").join(names.join("-"));
    fs::create_dir_all(&folder)?;
    fs::write(
        folder.join("index.json"),
        format!("{}\n", serde_json::to_string_pretty(&entries)?),
    )?;
    Ok(folder)
}

/// `address` relative to `mount`, where it is inside it.
fn below<'a>(address: &'a str, mount: &str) -> Option<&'a str> {
    if mount.is_empty() {
        return Some(address);
    }
    let rest = address.strip_prefix(mount)?;
    if rest.is_empty() {
        Some(rest)
    } else {
        rest.strip_prefix('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> (tempfile::TempDir, Site) {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "web/index.html",
            "web/main.js",
            "pkg/a.wasm",
            "pkg/.made-from",
            "web/screenshots/desktop.webp",
            "secret.txt",
        ] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        let mounts = vec![
            ("pkg/cpu".to_owned(), folder.path().join("pkg")),
            (String::new(), folder.path().join("web")),
        ];
        (folder, Site { mounts })
    }

    #[test]
    fn addresses_have_files() {
        let (_folder, site) = site();
        assert!(site.file("/").unwrap().ends_with("web/index.html"));
        assert!(site.file("/main.js").unwrap().ends_with("web/main.js"));
        assert!(
            site.file("/pkg/cpu/a.wasm")
                .unwrap()
                .ends_with("pkg/a.wasm")
        );
        assert_eq!(site.file("/pkg/cpuX/a.wasm"), None);
    }

    #[test]
    fn nothing_outside_has_an_address() {
        let (folder, site) = site();
        let absolute = format!("/{}", folder.path().join("secret.txt").display());
        for address in [
            "/../secret.txt",
            "/pkg/cpu/../../secret.txt",
            "/pkg/cpu/.made-from",
            "/..\\secret.txt",
            "/screenshots/desktop.webp",
            "",
            "main.js",
            &absolute,
        ] {
            assert_eq!(site.file(address), None, "{address}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed_out_of_the_site() {
        use std::os::unix::fs::symlink;
        let (folder, site) = site();
        let web = folder.path().join("web");
        let links = [
            ("inside.js", "main.js"),
            ("secret.txt", "../secret.txt"),
            ("hidden", "../pkg/.made-from"),
            ("all", ".."),
            ("none", "nowhere"),
        ];
        for (name, to) in links {
            symlink(to, web.join(name)).unwrap();
        }
        assert_eq!(
            fs::read(site.file("/inside.js").unwrap()).unwrap(),
            b"web/main.js"
        );
        for address in ["/secret.txt", "/hidden", "/all/secret.txt", "/none"] {
            assert_eq!(site.file(address), None, "{address}");
        }
        let dist = folder.path().join("dist");
        site.write_to(&dist).unwrap();
        let written: Vec<bool> = links
            .iter()
            .map(|(name, _)| dist.join(name).exists())
            .collect();
        assert_eq!(written, [true, false, false, false, false]);
    }

    #[test]
    fn list_names_each_shipped_model() {
        let bundles = SHIPPED.map(|name| (name, root().join("models").join(name)));
        let text = fs::read_to_string(list(&bundles).unwrap().join("index.json")).unwrap();
        let listed: Value = serde_json::from_str(&text).unwrap();
        let steps = |at: usize| listed[at]["defaults"]["num_inference_steps"].as_u64();
        assert_eq!(
            [listed[0]["address"].as_str(), listed[1]["address"].as_str()],
            [Some("default/"), Some("fast/")]
        );
        assert_eq!([steps(0), steps(1)], [Some(20), Some(4)]);
        let files = |at: usize| listed[at]["files"].as_array().unwrap();
        assert!(files(1).iter().any(|file| files(0).contains(file)));
        assert!(
            files(1)
                .iter()
                .all(|file| file["bytes"].as_u64() > Some(1000))
        );
        let none = tempfile::tempdir().unwrap();
        assert!(list(&[("default", none.path().to_path_buf())]).is_err());
    }

    #[test]
    fn page_has_a_policy() {
        let (_folder, site) = site();
        assert_eq!(site.policy(), None);
        let page = site.with_page(&root().join("web")).unwrap();
        let policy = page.policy().unwrap();
        assert!(policy.starts_with("default-src 'none'; "));
        assert!(policy.contains("connect-src 'self';"));
    }

    #[test]
    fn written_site_is_complete_and_never_written_over() {
        let (folder, site) = site();
        let dist = folder.path().join("dist");
        site.write_to(&dist).unwrap();
        assert!(dist.join("index.html").is_file() && dist.join("pkg/cpu/a.wasm").is_file());
        assert!(!dist.join("pkg/cpu/.made-from").exists());
        assert!(!dist.join("screenshots").exists());
        assert!(site.write_to(&dist).is_err());
    }
}
