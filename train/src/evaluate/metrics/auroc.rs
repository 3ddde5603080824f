//! How well a score tells positives from negatives.

/// Area under the receiver operating characteristic: the share of pairs of a positive and a
/// negative in which the positive has the higher score, a tie counting half (Hanley and McNeil
/// 1982, as scikit-learn's `roc_auc_score`). 0.5 is chance, 1 is perfect. `None` where there are no
/// positives or no negatives, or where a score is NaN.
///
/// # Panics
/// Where there is not one label a score.
pub fn auroc(scores: &[f32], positive: &[bool]) -> Option<f64> {
    assert_eq!(scores.len(), positive.len(), "one label a score");
    let positives = positive.iter().filter(|p| **p).count();
    let negatives = scores.len() - positives;
    if positives == 0 || negatives == 0 || scores.iter().any(|s| s.is_nan()) {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    // Sum of the positives' ranks, from 1; equal scores share the middle of their ranks.
    let mut ranks = 0.0;
    let mut start = 0;
    for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let middle = start as f64 + (tied.len() + 1) as f64 / 2.0;
        ranks += middle * tied.iter().filter(|&&i| positive[i]).count() as f64;
        start += tied.len();
    }
    let (p, n) = (positives as f64, negatives as f64);
    Some((ranks - p * (p + 1.0) / 2.0) / (p * n))
}

/// Standard error of an AUROC of `area` from so many positives and negatives (Hanley and McNeil
/// 1982, eq. 1, with the `Q1` and `Q2` of negative exponential scores).
pub fn standard_error(area: f64, positives: usize, negatives: usize) -> f64 {
    let (p, n) = (positives as f64, negatives as f64);
    let (q1, q2) = (area / (2.0 - area), 2.0 * area * area / (1.0 + area));
    let variance =
        area * (1.0 - area) + (p - 1.0) * (q1 - area * area) + (n - 1.0) * (q2 - area * area);
    (variance / (p * n)).max(0.0).sqrt()
}
