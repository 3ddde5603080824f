//! The optional reader of a bundle: which version of the format says it, and how it joins a bundle
//! that is there already.

#[cfg(not(target_family = "wasm"))]
use super::{BundleWriter, MANIFEST_FILE};
use super::{Manifest, SCHEMA_VERSIONS, manifest::ensure};
use crate::{Error, Result, components::ComponentConfigs};
#[cfg(not(target_family = "wasm"))]
use crate::{limits, reader::ReaderConfig};

impl Manifest {
    /// The lowest version of the format that can say all of `components`: what older code can read,
    /// it shall.
    pub(super) fn version_for(components: &ComponentConfigs) -> u32 {
        SCHEMA_VERSIONS[usize::from(components.reader.is_some())]
    }

    /// What the manifest says of its reader.
    pub(super) fn check_reader(&self) -> Result<()> {
        let version = Self::version_for(&self.components);
        ensure(self.schema_version >= version, || {
            format!("it has a reader, which version {version} of the format brought")
        })?;
        let why = |e: Error| Error::Manifest { why: e.to_string() };
        let reader = self.components.reader.as_ref();
        reader.map_or(Ok(()), |reader| reader.check().map_err(why))
    }
}

#[cfg(not(target_family = "wasm"))]
impl BundleWriter {
    /// Makes what was added the reader of the bundle in the folder, in place of the one that it
    /// has. The bundle's other files stay as they are, so that who has them downloads the reader
    /// alone.
    ///
    /// # Errors
    /// [`crate::Error::Io`] or [`crate::Error::Manifest`] if there is no bundle;
    /// [`crate::Error::Manifest`] if what was added is no such reader.
    pub fn join(mut self, reader: ReaderConfig) -> Result<Manifest> {
        self.flush()?;
        let path = self.dir.join(MANIFEST_FILE);
        let mut manifest = Manifest::parse(&limits::read(&path, limits::TEXT_BYTES)?)?;
        remove_reader(&mut manifest);
        let first = manifest.shards.len();
        manifest.shards.append(&mut self.shards);
        for (name, mut entry) in std::mem::take(&mut self.tensors) {
            entry.shards.iter_mut().for_each(|shard| *shard += first);
            manifest.tensors.insert(name, entry);
        }
        manifest.components.reader = Some(reader);
        manifest.schema_version = Manifest::version_for(&manifest.components);
        self.replace(&manifest)
    }
}

/// Takes the reader out, with the shards that hold nothing else.
#[cfg(not(target_family = "wasm"))]
fn remove_reader(manifest: &mut Manifest) {
    manifest.components.reader = None;
    let tensors = &mut manifest.tensors;
    tensors.retain(|name, _| !name.starts_with("reader."));
    let used: std::collections::BTreeSet<usize> =
        tensors.values().flat_map(|t| t.shards.clone()).collect();
    for shard in tensors.values_mut().flat_map(|entry| &mut entry.shards) {
        *shard = used.range(..*shard).count();
    }
    let mut index = 0..;
    let shards = &mut manifest.shards;
    shards.retain(|_| index.next().is_some_and(|i| used.contains(&i)));
}
