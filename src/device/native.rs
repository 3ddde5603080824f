//! Which of a computer's adapters is taken, and how one is had that offers the default limits and
//! no more.

use super::adapter::{Limits, unusable};
use crate::Result;
use burn::tensor::wgpu::wgpu::{self, Backend, Backends, DeviceType, hal};
use std::sync::{Mutex, PoisonError};

/// The graphics APIs by preference; burn's own order (cubecl-wgpu 0.11.3, `graphics.rs`).
const APIS: [Backend; 4] = [Backend::Metal, Backend::Vulkan, Backend::Dx12, Backend::Gl];

/// The best adapter: a card before a program on the CPU, the better API before the other, the
/// discrete card first.
pub(super) async fn adapter(limits: Limits) -> Result<(wgpu::Instance, wgpu::Adapter)> {
    let mut best: Option<((bool, usize, u8), wgpu::Instance, wgpu::Adapter)> = None;
    for (order, api) in APIS.into_iter().enumerate() {
        let instance = instance(api);
        for adapter in instance.enumerate_adapters(Backends::from(api)).await {
            let device = adapter.get_info().device_type;
            let rank = (device == DeviceType::Cpu, order, kind(device));
            if best.as_ref().is_none_or(|(other, ..)| rank < *other) {
                best = Some((rank, instance.clone(), adapter));
            }
        }
        if best.as_ref().is_some_and(|((is_cpu, ..), ..)| !is_cpu) {
            break; // nothing after it can be better
        }
    }
    let Some((_, instance, adapter)) = best else {
        return Err(unusable("no adapter was found"));
    };
    match limits {
        Limits::Adapter => Ok((instance, adapter)),
        Limits::Default => {
            let narrow = narrowed(&instance, &adapter.get_info())?;
            Ok((instance, narrow))
        }
    }
}

/// The instance of an API, made once and kept: the Vulkan loader crashes where instances come and
/// go on several threads.
fn instance(api: Backend) -> wgpu::Instance {
    static INSTANCES: Mutex<Vec<(Backend, wgpu::Instance)>> = Mutex::new(Vec::new());
    let mut instances = INSTANCES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, instance)) = instances.iter().find(|(made, _)| *made == api) {
        return instance.clone();
    }
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = Backends::from(api);
    let instance = wgpu::Instance::new(descriptor);
    instances.push((api, instance.clone()));
    instance
}

fn kind(device: DeviceType) -> u8 {
    match device {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    }
}

#[cfg(target_vendor = "apple")]
type Narrow = hal::api::Metal;
#[cfg(not(target_vendor = "apple"))]
type Narrow = hal::api::Vulkan;

/// The adapter once more, naming the default limits and no optional feature as all it has: burn
/// reads features and the size of workgroups from the adapter, so that a device with less would be
/// given kernels it cannot run.
fn narrowed(instance: &wgpu::Instance, wanted: &wgpu::AdapterInfo) -> Result<wgpu::Adapter> {
    use hal::Instance as _;
    #[allow(
        unsafe_code,
        reason = "the instance outlives the borrow, and nothing of it is destroyed"
    )]
    let exposed = unsafe { instance.as_hal::<Narrow>() }
        .map(|raw| unsafe { raw.enumerate_adapters(None) })
        .unwrap_or_default();
    let same = |found: &wgpu::AdapterInfo| {
        (&found.name, found.vendor, found.device, found.device_type)
            == (
                &wanted.name,
                wanted.vendor,
                wanted.device,
                wanted.device_type,
            )
    };
    let Some(mut exposed) = exposed.into_iter().find(|exposed| same(&exposed.info)) else {
        let why = format!(
            "{} cannot be held to the default limits, which works with Vulkan and Metal; leave --limits out",
            wanted.name
        );
        return Err(unusable(why));
    };
    let default = wgpu::Limits::default();
    if !default.check_limits(&exposed.capabilities.limits) {
        return Err(unusable("its limits are below WebGPU's default ones"));
    }
    exposed.capabilities.limits = default;
    exposed.features = wgpu::Features::empty();
    #[allow(unsafe_code, reason = "the adapter was made by this very instance")]
    Ok(unsafe { instance.create_adapter_from_hal(exposed) })
}
