// Softmax cross-entropy: one workgroup a row, then one for the mean; the gradient rebuilds the softmax from the saved log-sum-exp.
// A graded target out of range cannot be thrown from here: it makes the loss NaN.

struct Call {
  present: u32, // bit 2: mask
  rows: u32,
  V: u32,
  smoothing: f32,
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> logits: array<f32>; // [rows, V], as dlogits
@group(0) @binding(2) var<storage, read> targets: array<i32>; // [rows]
@group(0) @binding(3) var<storage, read> mask: array<f32>; // [rows] or absent
@group(0) @binding(4) var<storage, read> logsumexp: array<f32>; // [rows]
@group(0) @binding(5) var<storage, read> dloss: array<f32>; // []
@group(0) @binding(6) var<storage, read_write> loss: array<f32>; // []
@group(0) @binding(7) var<storage, read_write> logsumexp_out: array<f32>;
@group(0) @binding(8) var<storage, read_write> row_loss: array<f32>; // [rows], times the mask
@group(0) @binding(9) var<storage, read_write> factor: array<f32>; // [1], dloss / Σ mask
@group(0) @binding(10) var<storage, read_write> dlogits: array<f32>;

fn weight_of(row: u32) -> f32 {
  if ((call.present & 4u) == 0u) {
    return 1.0;
  }
  return mask[row];
}

@compute @workgroup_size(wide)
fn rows(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups);
  if (row >= call.rows) {
    return;
  }
  let weight = weight_of(row);
  if (weight == 0.0) {
    if (lane == 0u) {
      logsumexp_out[row] = 0.0;
      row_loss[row] = 0.0;
    }
    return;
  }
  let first = row * call.V;
  var most = -3.0e38;
  for (var j = lane; j < call.V; j += wide) {
    most = max(most, logits[first + j]);
  }
  most = max_wide(lane, most);
  var exps = 0.0;
  var plain = 0.0;
  for (var j = lane; j < call.V; j += wide) {
    exps += exp(logits[first + j] - most);
    plain += logits[first + j];
  }
  exps = sum_wide(lane, exps);
  plain = sum_wide(lane, plain);
  if (lane == 0u) {
    let lse = most + log(exps);
    let target_id = targets[row];
    var wanted = bitcast<f32>(0x7fc00000u | call.V); // NaN
    if (target_id >= 0 && target_id < i32(call.V)) {
      wanted = logits[first + u32(target_id)];
    }
    logsumexp_out[row] = lse;
    row_loss[row] = weight * (lse - (1.0 - call.smoothing) * wanted - call.smoothing / f32(call.V) * plain);
  }
}

// Σ mask by the lanes of a workgroup.
fn graded(lane: u32) -> f32 {
  var sum = 0.0;
  for (var row = lane; row < call.rows; row += wide) {
    sum += weight_of(row);
  }
  return sum_wide(lane, sum);
}

@compute @workgroup_size(wide)
fn mean(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var row = lane; row < call.rows; row += wide) {
    sum += row_loss[row];
  }
  let total = sum_wide(lane, sum);
  let count = graded(lane);
  if (lane == 0u) {
    loss[0] = select(total / max(count, 1.0e-30), 0.0, count == 0.0);
  }
}

@compute @workgroup_size(wide)
fn factors(@builtin(local_invocation_index) lane: u32) {
  let count = graded(lane);
  if (lane == 0u) {
    factor[0] = dloss[0] / max(count, 1.0e-30);
  }
}

@compute @workgroup_size(256)
fn backward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= call.rows * call.V) {
    return;
  }
  let row = i / call.V;
  let weight = weight_of(row);
  var slope = 0.0;
  if (weight != 0.0) {
    let own = select(0.0, 1.0 - call.smoothing, targets[row] == i32(i % call.V));
    slope = factor[0] * weight * (exp(logits[i] - logsumexp[row]) - own - call.smoothing / f32(call.V));
  }
  dlogits[i] = slope;
}
