//! The types in the page's comments, checked by TypeScript; the page itself stays JavaScript.

use std::fs;

use anyhow::{Context, Result};
use serde_json::json;

use crate::npm::Package;
use crate::workspace::{command, root, run, target};

const TYPESCRIPT: Package = Package {
    name: "typescript",
    version: "5.8.3",
    sha256: "72e75dbeb92c2e6eb9a34cb59d74fab5c2ee6f32a0324a89405f6165d5a08374",
};
const WEBGPU: Package = Package {
    name: "@webgpu/types",
    version: "0.1.74",
    sha256: "338b7fd717168ed7fdab61c124bf426cb90e2ffa30f61539e5c7cc6ea0a28062",
};

/// Checks every script of the page but the service worker, whose globals are others.
pub fn check() -> Result<()> {
    let web = root().join("web");
    let config = target().join("npm/tsconfig.json");
    let compiler = TYPESCRIPT.folder()?.join("bin/tsc");
    let options = json!({
        "compilerOptions": {
            "target": "esnext", "module": "esnext", "moduleResolution": "bundler", "lib": ["dom", "dom.iterable", "dom.asynciterable", "esnext"],
            "allowJs": true, "checkJs": true, "noEmit": true, "types": [],
            "strict": true, "useUnknownInCatchVariables": false,
        },
        "include": [web.join("**/*.js"), WEBGPU.folder()?.join("dist/index.d.ts")],
        "exclude": [web.join("sw.js")],
    });
    fs::write(&config, options.to_string())?;
    run(command("node").arg(compiler).arg("--project").arg(config))
        .context("the types in the page's comments and its code disagree")
}
