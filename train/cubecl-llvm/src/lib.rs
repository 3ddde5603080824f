//! A stand-in for `cubecl-llvm` 0.11.3, which `cubecl-cuda` 0.11.3 requires even where it compiles
//! kernels with NVRTC.
//!
//! The real one downloads a whole LLVM while it is built. With `cubecl-cuda`'s feature `cpp`, which
//! `train`'s feature `cuda` sets, none of it ever runs, so this crate has the names that
//! `cubecl-cuda` mentions and nothing behind them: asked to compile, it refuses in words. To be
//! dropped when upstream makes LLVM optional.

use cubecl_core::ir::nvidia::SmArch;
use cubecl_core::prelude::KernelDefinition;
use cubecl_server::compiler::CompilationError;
use cubecl_server::kernel::BufferIOAttr;

use crate::nvptx::ptx_version::PtxVersion;

/// What the LLVM backend would write for NVIDIA's GPUs.
pub mod nvptx {
    /// Versions of PTX.
    pub mod ptx_version {
        use std::fmt;

        /// The version that the LLVM backend would write: there is none.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum PtxVersion {}

        impl PtxVersion {
            /// None for any driver: NVRTC chooses its own.
            pub fn for_driver(_driver: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {}
            }
        }
    }
}

/// What the LLVM backend would share between targets.
pub mod shared {
    /// Features of a device that the LLVM backend can use.
    pub mod lowered_features {
        use cubecl_core::ir::DeviceProperties;

        /// Kinds of GPU.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum GpuTarget {
            /// NVIDIA's.
            Nvptx,
        }

        /// Would narrow `_props` to what the LLVM backend compiles. It is asked only when that
        /// backend is chosen, which then refuses every kernel.
        pub fn restrict_features(_props: &mut DeviceProperties, _target: GpuTarget) {}
    }
}

/// What the compiler would compile for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LlvmTarget {
    /// NVIDIA's GPUs.
    Nvptx,
}

/// The compiler that is not here.
#[derive(Clone, Debug)]
pub struct PlironCompiler {
    /// What it would compile for.
    pub target: LlvmTarget,
}

impl PlironCompiler {
    /// # Errors
    /// Always.
    pub fn compile(
        &mut self,
        _kernel: KernelDefinition,
        _options: &PlironOptions,
    ) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic {
            reason: "this build has no LLVM backend; build with cubecl-cuda's feature `cpp`, which compiles with NVRTC"
                .into(),
            backtrace: Default::default(),
        })
    }

    /// Name of the language that the compiler would write.
    pub fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}

/// The compiler's options.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// Name of the architecture.
    pub arch: Option<String>,
    /// Compute capability.
    pub sm_arch: Option<SmArch>,
    /// Version of PTX.
    pub ptx_version: Option<PtxVersion>,
    /// Whether parameters are passed as grid constants.
    pub grid_constants: bool,
    /// Room for what upstream may add: `cubecl-cuda` fills the rest from the default.
    pub _other: (),
}

/// What the compiler would make.
#[derive(Debug)]
pub enum PlironArtifact {
    /// For NVIDIA's GPUs.
    NvptxCode(NvptxModule),
    /// For others.
    Other,
}

/// A compiled kernel.
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// PTX, with a zero at the end.
    pub ptx: Vec<std::ffi::c_char>,
    /// LLVM's text.
    pub ir: String,
    /// Bytes of shared memory.
    pub shared_memory_size: usize,
    /// What each buffer is used for.
    pub io: Vec<BufferIOAttr>,
}
