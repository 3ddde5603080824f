//! The GPU device, asked for with explicit limits and features and then given to burn.

use super::adapter::{ADAPTER, AdapterClass, Limits, Options, unusable};
use crate::Result;
use burn::tensor::{
    Device,
    wgpu::{
        WgpuSetup,
        wgpu::{self, Features},
    },
};

/// The optional features that burn uses where the adapter has them (cubecl-wgpu 0.11.3,
/// `runtime.rs:696`, `backend/wgsl.rs:107`). It asks the adapter and not the device, so that the
/// device must have each of them.
const OPTIONAL: Features = Features::SHADER_F16
    .union(Features::SHADER_F64)
    .union(Features::SHADER_INT64)
    .union(Features::SHADER_FLOAT32_ATOMIC)
    .union(Features::SUBGROUP);

/// Names of adapters that are programs on the CPU; `web/engine/backend.js` has them too.
const SOFTWARE: [&str; 7] = [
    "swiftshader",
    "llvmpipe",
    "lavapipe",
    "softpipe",
    "microsoft basic render",
    "warp",
    "software",
];

pub(super) async fn open(options: Options) -> Result<Device> {
    let (instance, adapter) = adapter(options.limits).await?;
    let info = adapter.get_info();
    let (required_features, required_limits) = demands(options.limits, &adapter);
    let (device, queue) = adapter
        .request_device(&wgpu::DeviceDescriptor {
            label: Some("roentgen-web"),
            required_features,
            required_limits,
            // burn's own allocator asks for large buffers and divides them.
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        })
        .await
        .map_err(unusable)?;
    let setup = WgpuSetup {
        instance,
        backend: info.backend,
        adapter,
        device,
        queue,
    };
    let device = Device::wgpu_options()
        .setup(setup)
        .init()
        .map_err(unusable)?;
    let name = format!("{} ({:?})", info.name, info.backend);
    let _ = ADAPTER.set((class(&info, options.software), name)); // the first one opened counts
    Ok(device)
}

/// What the device must have.
fn demands(limits: Limits, adapter: &wgpu::Adapter) -> (Features, wgpu::Limits) {
    let default = wgpu::Limits::default();
    if limits == Limits::Default {
        return (Features::empty(), default);
    }
    let mut features = OPTIONAL;
    if cfg!(not(target_family = "wasm")) {
        // For whoever measures kernels. In a browser an adapter only seems to have it: see
        // `adapter`.
        features |= Features::TIMESTAMP_QUERY;
    }
    let own = adapter.limits();
    let demanded = wgpu::Limits {
        max_buffer_size: own.max_buffer_size,
        max_storage_buffer_binding_size: own.max_storage_buffer_binding_size,
        max_storage_buffers_per_shader_stage: own.max_storage_buffers_per_shader_stage,
        max_uniform_buffer_binding_size: own.max_uniform_buffer_binding_size,
        max_compute_workgroup_storage_size: own.max_compute_workgroup_storage_size,
        max_compute_invocations_per_workgroup: own.max_compute_invocations_per_workgroup,
        max_compute_workgroup_size_x: own.max_compute_workgroup_size_x,
        max_compute_workgroup_size_y: own.max_compute_workgroup_size_y,
        max_compute_workgroup_size_z: own.max_compute_workgroup_size_z,
        max_compute_workgroups_per_dimension: own.max_compute_workgroups_per_dimension,
        min_uniform_buffer_offset_alignment: own.min_uniform_buffer_offset_alignment,
        min_storage_buffer_offset_alignment: own.min_storage_buffer_offset_alignment,
        // What draws triangles matters not: an adapter with less of it than WebGPU's default
        // computes as well.
        ..default.or_worse_values_from(&own)
    };
    (adapter.features() & features, demanded)
}

/// The browser's adapter.
///
/// burn's runtime panics in a browser whose adapter does not name `timestamp-query`, though it uses
/// it for nothing but profiles (cubecl-wgpu 0.11.3, `compute/stream.rs:69`, `:196`). So
/// `web/engine/backend.js` has every adapter name it, and no device is asked for it. It also has
/// the adapter name the default limits only where those are asked for: burn reads the size of
/// workgroups from the adapter.
#[cfg(target_family = "wasm")]
async fn adapter(limits: Limits) -> Result<(wgpu::Instance, wgpu::Adapter)> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::BROWSER_WEBGPU;
    let instance = wgpu::Instance::new(descriptor);
    let adapter = instance
        .request_adapter(&wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        })
        .await
        .map_err(unusable)?;
    let why = match limits {
        _ if !adapter.features().contains(Features::TIMESTAMP_QUERY) => {
            "it does not name timestamp-query, which burn's runtime looks for; call presentAdapters of backend.js first"
        }
        Limits::Default if adapter.limits().max_compute_invocations_per_workgroup > 256 => {
            "it names more than the default limits; call presentAdapters of backend.js first"
        }
        _ => return Ok((instance, adapter)),
    };
    Err(unusable(why))
}

#[cfg(not(target_family = "wasm"))]
async fn adapter(limits: Limits) -> Result<(wgpu::Instance, wgpu::Adapter)> {
    super::native::adapter(limits).await
}

fn class(info: &wgpu::AdapterInfo, known: bool) -> AdapterClass {
    let name = info.name.to_lowercase();
    let named = SOFTWARE.iter().any(|software| name.contains(software));
    if known || named || info.device_type == wgpu::DeviceType::Cpu {
        AdapterClass::Software
    } else {
        AdapterClass::Gpu
    }
}

#[cfg(all(test, not(target_family = "wasm"), feature = "cli"))]
mod tests {
    use super::*;

    /// On every computer with an adapter; burn sees what the device has, no more and no less.
    #[test]
    fn a_device_has_what_its_adapter_names() {
        for limits in [Limits::Adapter, Limits::Default] {
            let Ok((_instance, adapter)) = pollster::block_on(adapter(limits)) else {
                println!("skipped: no adapter (Debian: mesa-vulkan-drivers)");
                return;
            };
            let (required_features, required_limits) = demands(limits, &adapter);
            let asked = wgpu::DeviceDescriptor {
                required_features,
                required_limits,
                ..Default::default()
            };
            let (device, _queue) = pollster::block_on(adapter.request_device(&asked)).unwrap();
            let (named, has) = (adapter.limits(), device.limits());
            assert_eq!(
                device.features() & OPTIONAL,
                adapter.features() & OPTIONAL,
                "{limits:?}"
            );
            assert_eq!(
                has.max_compute_invocations_per_workgroup,
                named.max_compute_invocations_per_workgroup
            );
            if limits == Limits::Default {
                assert_eq!(has, wgpu::Limits::default());
                assert!(device.features().is_empty(), "{:?}", device.features());
            }
        }
    }

    #[test]
    fn programs_are_told_from_cards() {
        let class_of = |name: &str, known| {
            let mut info = wgpu::AdapterInfo::new(wgpu::DeviceType::Other, wgpu::Backend::Vulkan);
            info.name = name.into();
            class(&info, known)
        };
        assert_eq!(
            class_of("llvmpipe (LLVM 15)", false),
            AdapterClass::Software
        );
        assert_eq!(class_of("", true), AdapterClass::Software);
        assert_eq!(class_of("NVIDIA H100", false), AdapterClass::Gpu);
    }
}
