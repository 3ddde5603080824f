use super::*;

/// Bell-shaped numbers, as weights are, without a random generator: sums of three sines.
fn weights(n: usize) -> Vec<f32> {
    (0..n)
        .map(|i| {
            (1..4)
                .map(|k| ((i * k * k) as f32 * 0.7371 + k as f32).sin())
                .sum::<f32>()
                * 0.02
        })
        .collect()
}

fn relative(a: &[f32], b: &[f32]) -> f32 {
    let sum = |it: &mut dyn Iterator<Item = f32>| it.map(|x| x * x).sum::<f32>();
    (sum(&mut a.iter().zip(b).map(|(a, b)| a - b)) / sum(&mut a.iter().copied())).sqrt()
}

#[test]
fn every_weight_is_within_half_a_scale_and_odd_rows_fit() {
    for columns in [1, 31, 32, 33, 64, 77] {
        let data = weights(columns * 5);
        let q8 = encode_q8("w", columns, &data).unwrap();
        let back = q8.decode();
        assert_eq!(back.len(), data.len());
        for (i, (x, y)) in data.iter().zip(&back).enumerate() {
            let block = i / columns * columns.div_ceil(BLOCK) + i % columns / BLOCK;
            assert!(
                (x - y).abs() <= q8.scales[block].to_f32() * 0.5001,
                "{columns} {i}: {x} {y}"
            );
        }
        assert!(relative(&data, &back) < 0.006);
        let q4 = encode_q4("w", columns, &data).unwrap();
        let back = q4.decode();
        assert_eq!(back.len(), data.len());
        assert!(
            relative(&data, &back) < 0.1,
            "{columns}: {}",
            relative(&data, &back)
        );
    }
}

#[test]
fn searching_the_q4_scale_beats_the_largest_weight() {
    let data = weights(32 * 64);
    let q4 = encode_q4("w", 32, &data).unwrap();
    let searched = relative(&data, &q4.decode());
    let plain: Vec<f32> = data
        .chunks(32)
        .flat_map(|b| {
            let scale = largest(b) / 7.0;
            b.iter().map(move |x| (x / scale).round() * scale)
        })
        .collect();
    assert!(
        searched < relative(&data, &plain) * 0.97,
        "{searched} {}",
        relative(&data, &plain)
    );
}

#[test]
fn zeros_and_tiny_weights_get_a_good_scale() {
    for data in [vec![0.0; 40], vec![1e-30; 40], vec![-1e-9; 40]] {
        for q in [
            encode_q8("w", 40, &data).unwrap(),
            encode_q4("w", 40, &data).unwrap(),
        ] {
            assert!(q.scales.iter().all(|s| s.is_finite() && *s > f16::ZERO));
        }
        let q = encode_q8("w", 40, &data).unwrap();
        let back = q.decode();
        assert!(back.iter().zip(&data).all(|(a, b)| (a - b).abs() < 1e-7));
    }
}

#[test]
fn what_cannot_be_stored_is_an_error() {
    assert_eq!(
        encode_q8("w", 2, &[1.0, f32::NAN]).err().unwrap().code(),
        "not-finite"
    );
    assert_eq!(
        encode_q4("w", 2, &[1.0, f32::INFINITY])
            .err()
            .unwrap()
            .code(),
        "not-finite"
    );
    assert_eq!(
        encode_q8("w", 2, &[1.0, 1e30]).err().unwrap().code(),
        "quantized"
    );
    assert_eq!(
        encode_q4("w", 2, &[1.0, 1e30]).err().unwrap().code(),
        "quantized"
    );
}

#[test]
fn bad_scales_and_nibbles_are_errors() {
    for scale in [
        f16::NAN,
        f16::INFINITY,
        f16::ZERO,
        f16::NEG_ZERO,
        f16::from_f32(-1.0),
    ] {
        for (bits, int) in [(8, 1), (4, 0x81)] {
            let found = Quantized::new("w", bits, 1, &[int], vec![scale]);
            assert_eq!(found.unwrap_err().code(), "scale");
        }
    }
    let one = |int| Quantized::new("w", 4, 1, &[int], vec![f16::ONE]);
    assert_eq!(one(0x81).unwrap().decode(), [-7.0]);
    assert_eq!(one(0x71).unwrap_err().code(), "quantized");
}

#[test]
fn words_begin_with_each_row_and_hold_what_is_decoded() {
    for columns in [1, 7, 8, 33, 40] {
        let data = weights(columns * 3);
        for (bits, zero, q) in [
            (8, 128, encode_q8("w", columns, &data).unwrap()),
            (4, 8, encode_q4("w", columns, &data).unwrap()),
        ] {
            let (words, width) = (q.words(), row_words(bits, columns));
            assert_eq!(words.len(), 3 * width);
            for (i, expected) in q.decode().into_iter().enumerate() {
                let (row, column) = (i / columns, i % columns);
                let at = column * bits;
                let word = words[row * width + at / 32] as u32 >> (at % 32);
                let int = (word & ((1 << bits) - 1)) as i32 - zero;
                let scale = q.scales[row * columns.div_ceil(BLOCK) + column / BLOCK];
                assert_eq!(int as f32 * scale.to_f32(), expected);
            }
        }
    }
}
