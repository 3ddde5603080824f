//! The gradients of a case's output with respect to everything that goes into it.

use super::*;
use burn::tensor::Gradients;

impl Case {
    /// The gradient of each input and parameter, of the sum of the outputs times fixed numbers, on
    /// a device with autodiff.
    pub fn gradients(&self, device: &Device) -> Vec<(&'static str, Tensor<1>)> {
        let input = Inputs {
            precision: Precision::F32,
            device,
        };
        match *self {
            Case::Conv2d {
                shape,
                channels,
                side,
                stride,
                padding,
                upsample,
                added,
            } => {
                let [b, c_in, _, _] = shape;
                let conv = conv([c_in, channels], [side, stride, padding], None, device);
                let x = input.of(shape, 1.0, 1).require_grad();
                let time = values([b, channels], 1.0, 4, device).require_grad();
                let alone = Fused {
                    upsample,
                    ..Fused::default()
                };
                let plain = conv2d_fused(&conv, x.clone(), alone);
                let residual = input.of(plain.dims(), 1.0, 5).require_grad();
                let out = if added {
                    let fused = Fused {
                        upsample,
                        time: Some(time.clone()),
                        residual: Some(residual.clone()),
                    };
                    conv2d_fused(&conv, x.clone(), fused)
                } else {
                    plain
                };
                let grads = backward(out);
                let bias = conv.bias.as_ref().map(|bias| bias.val());
                let mut found = vec![
                    ("input", of(&x, &grads)),
                    ("weight", of(&conv.weight.val(), &grads)),
                    ("bias", of(&bias.expect("it has one"), &grads)),
                ];
                if added {
                    found.push(("time", of(&time, &grads)));
                    found.push(("residual", of(&residual, &grads)));
                }
                found
            }
            Case::Linear {
                shape,
                channels,
                activation,
                added,
                transposed,
            } => {
                let [b, t, c_in] = shape;
                let layer = layer(c_in, channels, None, device);
                let x = input.of(shape, 1.0, 1).require_grad();
                let residual = input.of([b, t, channels], 1.0, 4).require_grad();
                let lying = lying(x.clone(), transposed);
                let added = added && activation.is_some();
                let out = match activation {
                    Some(activation) => {
                        linear(&layer, lying, activation, added.then(|| residual.clone()))
                    }
                    None => geglu(&layer, lying),
                };
                let grads = backward(out);
                let bias = layer.bias.as_ref().map(|bias| bias.val());
                let mut found = vec![
                    ("input", of(&x, &grads)),
                    ("weight", of(&layer.weight.val(), &grads)),
                    ("bias", of(&bias.expect("it has one"), &grads)),
                ];
                if added {
                    found.push(("residual", of(&residual, &grads)));
                }
                found
            }
            Case::GroupNorm {
                shape,
                groups,
                activated,
            } => {
                let c = shape[1];
                let mut norm = GroupNormConfig::new(groups, c)
                    .with_epsilon(1e-6)
                    .init(device);
                let (gamma, beta) = (param([c], 1.0, 2, device), param([c], 1.0, 3, device));
                (norm.gamma, norm.beta) = (Some(gamma.clone()), Some(beta.clone()));
                let x = input.around(3.0, shape, 2.0, 1).require_grad();
                let grads = backward(group_norm(&norm, x.clone(), activated));
                vec![
                    ("input", of(&x, &grads)),
                    ("scale", of(&gamma.val(), &grads)),
                    ("shift", of(&beta.val(), &grads)),
                ]
            }
            Case::LayerNorm { shape, transposed } => {
                let c = shape[2];
                let mut norm = LayerNormConfig::new(c).init(device);
                let (gamma, beta) = (param([c], 1.0, 2, device), param([c], 1.0, 3, device));
                (norm.gamma, norm.beta) = (gamma.clone(), Some(beta.clone()));
                let x = input.around(3.0, shape, 2.0, 1).require_grad();
                let grads = backward(layer_norm(&norm, 1e-5, lying(x.clone(), transposed)));
                vec![
                    ("input", of(&x, &grads)),
                    ("scale", of(&gamma.val(), &grads)),
                    ("shift", of(&beta.val(), &grads)),
                ]
            }
            Case::Attention {
                shape,
                keys,
                heads,
                is_causal,
            } => {
                let [b, _, c] = shape;
                let q = input.of(shape, 1.5, 1).require_grad();
                let k = input.of([b, keys, c], 1.5, 2).require_grad();
                let v = input.of([b, keys, c], 1.0, 3).require_grad();
                let out = attention(q.clone(), k.clone(), v.clone(), heads, is_causal);
                let grads = backward(out);
                vec![
                    ("queries", of(&q, &grads)),
                    ("keys", of(&k, &grads)),
                    ("values", of(&v, &grads)),
                ]
            }
        }
    }
}

fn backward<const D: usize>(out: Tensor<D>) -> Gradients {
    let factors = values(out.dims(), 1.0, 7, &out.device());
    (out * factors).sum().backward()
}

fn of<const D: usize>(x: &Tensor<D>, grads: &Gradients) -> Tensor<1> {
    flat(x.grad(grads).expect("everything is a part of the output"))
}
