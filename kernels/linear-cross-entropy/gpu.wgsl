// What stands around the products of a piece of rows: logits to losses and slopes in one workgroup a row, sums over pieces, and the gradient's factor.
// A graded target out of range cannot be thrown from here: it makes the loss NaN.

struct Call {
  present: u32, // of PieceOfLoss bit 2, of GradedCount bit 1: mask
  rows: u32, // or numbers
  V: u32,
  smoothing: f32,
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read_write> logits: array<f32>; // [rows, V]
@group(0) @binding(2) var<storage, read> targets: array<i32>; // [rows]
@group(0) @binding(3) var<storage, read> mask: array<f32>; // [rows] or absent
@group(0) @binding(4) var<storage, read> count: array<f32>; // Σ mask of all rows
@group(0) @binding(5) var<storage, read_write> count_out: array<f32>;
@group(0) @binding(6) var<storage, read> losses: array<f32>; // [rows]
@group(0) @binding(7) var<storage, read_write> losses_out: array<f32>;
@group(0) @binding(8) var<storage, read_write> loss: array<f32>;
@group(0) @binding(9) var<storage, read_write> whole: array<f32>;
@group(0) @binding(10) var<storage, read> part: array<f32>;
@group(0) @binding(11) var<storage, read> slope: array<f32>; // for a gradient of 1
@group(0) @binding(12) var<storage, read> dloss: array<f32>;
@group(0) @binding(13) var<storage, read_write> scaled: array<f32>;

// One workgroup.
@compute @workgroup_size(wide)
fn count_graded(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  if ((call.present & 2u) != 0u) {
    for (var row = lane; row < call.rows; row += wide) {
      sum += mask[row];
    }
  }
  sum = sum_wide(lane, sum);
  if (lane == 0u) {
    count_out[0] = select(f32(call.rows), sum, (call.present & 2u) != 0u);
  }
}

// One workgroup a row.
@compute @workgroup_size(wide)
fn piece_rows(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups);
  if (row >= call.rows) {
    return;
  }
  let first = row * call.V;
  var weight = 1.0;
  if ((call.present & 4u) != 0u) {
    weight = mask[row];
  }
  if (weight == 0.0) {
    for (var j = lane; j < call.V; j += wide) {
      logits[first + j] = 0.0;
    }
    if (lane == 0u) {
      losses_out[row] = 0.0;
    }
    return;
  }
  weight /= max(count[0], 1.0e-30);
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
  let lse = most + log(exps);
  let share = call.smoothing / f32(call.V); // of each class
  let wanted = targets[row];
  if (lane == 0u) {
    var reached = bitcast<f32>(0x7fc00000u | call.V); // NaN
    if (wanted >= 0 && wanted < i32(call.V)) {
      reached = logits[first + u32(wanted)];
    }
    losses_out[row] = weight * (lse - (1.0 - call.smoothing) * reached - share * plain);
  }
  storageBarrier(); // the logit of the target is read before it is written over
  for (var j = lane; j < call.V; j += wide) {
    let own = select(0.0, 1.0 - call.smoothing, wanted == i32(j));
    logits[first + j] = weight * (exp(logits[first + j] - lse) - own - share);
  }
}

@compute @workgroup_size(256)
fn add_part(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i < call.rows) {
    whole[i] += part[i];
  }
}

// One workgroup.
@compute @workgroup_size(wide)
fn sum_losses(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var row = lane; row < call.rows; row += wide) {
    sum += losses[row];
  }
  let total = sum_wide(lane, sum);
  if (lane == 0u) {
    loss[0] = total;
  }
}

override second: u32 = 0u; // the second of two sizes counts

@compute @workgroup_size(256)
fn scale_slopes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i < select(call.rows, call.V, second != 0u)) {
    scaled[i] = slope[i] * dloss[0];
  }
}
