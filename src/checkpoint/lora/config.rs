//! What PEFT notes beside a LoRA's matrices: in `adapter_config.json`, or in the header of
//! diffusers' file.

use super::super::formats;
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::path::Path;

/// diffusers' entry in the header: the config of each component, its keys after the component's
/// name.
const METADATA: &str = "lora_adapter_metadata";

/// Keys of PEFT's `LoraConfig`, as a flat object: `unet.lora_alpha`, or `lora_alpha` for all. Empty
/// where the file says nothing.
#[derive(Debug, Default)]
pub(super) struct AdapterConfig(Map<String, Value>);

impl AdapterConfig {
    /// # Errors
    /// [`Error::Json`] for what is no JSON object; [`Error::Config`] for options that make it
    /// another kind of adapter.
    pub fn read(lora: &Path) -> Result<Self> {
        let beside = lora.with_file_name("adapter_config.json");
        let json = match formats::metadata(lora)?.remove(METADATA) {
            Some(json) => Some(json.into_bytes()),
            None => formats::text(&beside)?,
        };
        let Some(json) = json else {
            return Ok(Self::default());
        };
        let keys: Map<String, Value> = serde_json::from_slice(&json).map_err(|e| Error::Json {
            file: beside.display().to_string(),
            why: e.to_string(),
        })?;
        for (key, value) in &keys {
            let option = key.rsplit('.').next().unwrap_or(key);
            let other = ["use_dora", "fan_in_fan_out", "lora_bias"].contains(&option);
            if other && *value == true {
                let why = format!("its {key} is true, which is not supported");
                return Err(Error::config(lora.display().to_string(), why));
            }
        }
        Ok(Self(keys))
    }

    /// `alpha / r` of the layer whose weight is the tensor `name`; 1 where nothing is said.
    ///
    /// # Errors
    /// What of the config is no number or no plain name.
    pub fn scale(&self, name: &str, rank: usize) -> Result<f32, String> {
        let (component, module) = name.split_once('.').unwrap_or(("", name));
        let module = module.strip_suffix(".weight").unwrap_or(module);
        let value = |key: &str| {
            let own = self.0.get(&format!("{component}.{key}"));
            own.or_else(|| self.0.get(key))
                .filter(|value| !value.is_null())
        };
        let mut alpha = value("lora_alpha");
        for (pattern, own) in value("alpha_pattern")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            if matches(pattern, module)? {
                alpha = Some(own);
            }
        }
        let Some(alpha) = alpha else { return Ok(1.0) };
        let alpha = alpha
            .as_f64()
            .ok_or_else(|| format!("its lora_alpha {alpha} is not a number"))?;
        let rank = rank as f64;
        let rank_stabilized = value("use_rslora").and_then(Value::as_bool) == Some(true);
        Ok((alpha / if rank_stabilized { rank.sqrt() } else { rank }) as f32)
    }
}

/// Whether a key of `alpha_pattern`, a regular expression for the end of a layer's path (peft:
/// `get_pattern_key`), means this layer.
fn matches(pattern: &str, module: &str) -> Result<bool, String> {
    let whole = pattern.strip_prefix('^');
    let plain = whole.unwrap_or(pattern).replace("\\.", ".");
    let plain = plain.strip_prefix("text_model.").unwrap_or(&plain);
    if plain.contains(['*', '+', '?', '[', '(', '|', '$', '\\', '{']) {
        return Err(format!(
            "its alpha_pattern {pattern} is a regular expression; only names are read"
        ));
    }
    let end = module.strip_suffix(plain);
    Ok(match whole {
        Some(_) => end == Some(""),
        None => end.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn alpha_is_looked_up_as_peft_does() {
        let Value::Object(keys) = json!({
            "unet.lora_alpha": 8, "unet.r": 4, "unet.alpha_pattern": {"attn1.to_q": 2, "^conv_in": 16}, "lora_alpha": 6,
        }) else {
            unreachable!()
        };
        let config = AdapterConfig(keys);
        for (name, scale) in [
            ("unet.conv_out.weight", 2.0),
            ("unet.conv_in.weight", 4.0),
            ("unet.x.conv_in.weight", 2.0),
            ("unet.x.attn1.to_q.weight", 0.5),
            ("unet.x.battn1.to_q.weight", 2.0),
            ("text_encoder.x.fc1.weight", 1.5),
        ] {
            assert_eq!(config.scale(name, 4), Ok(scale), "{name}");
        }
        let Value::Object(keys) = json!({"lora_alpha": 8, "use_rslora": true}) else {
            unreachable!()
        };
        assert_eq!(AdapterConfig(keys).scale("unet.x.weight", 16), Ok(2.0));
        assert_eq!(AdapterConfig::default().scale("unet.x.weight", 16), Ok(1.0));
        assert!(matches("attn[12]", "attn1").is_err());
    }
}
