// LayerNorm over the last axis, forward and gradient: one workgroup a row; the weights' gradients in parts of rows.

struct Call {
  present: u32, // bit 2 of the forward: bias
  rows: u32,
  width: u32,
  epsilon: f32,
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [rows, width], as y, dy and dx
@group(0) @binding(2) var<storage, read> weight: array<f32>; // [width], as bias
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> mean: array<f32>; // [rows], as rstd
@group(0) @binding(5) var<storage, read> rstd: array<f32>;
@group(0) @binding(6) var<storage, read> dy: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
@group(0) @binding(8) var<storage, read_write> mean_out: array<f32>;
@group(0) @binding(9) var<storage, read_write> rstd_out: array<f32>;
@group(0) @binding(10) var<storage, read_write> dx: array<f32>;
@group(0) @binding(11) var<storage, read_write> partial: array<f32>; // [parts, 2, width]
@group(0) @binding(12) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(13) var<storage, read_write> dbias: array<f32>;

@compute @workgroup_size(wide)
fn forward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups);
  if (row >= call.rows) {
    return;
  }
  let at = row * call.width;
  var total = 0.0;
  for (var j = lane; j < call.width; j += wide) {
    total += x[at + j];
  }
  let centre = sum_wide(lane, total) / f32(call.width);
  var square = 0.0;
  for (var j = lane; j < call.width; j += wide) {
    let u = x[at + j] - centre;
    square += u * u;
  }
  let r = 1.0 / sqrt(sum_wide(lane, square) / f32(call.width) + call.epsilon);
  for (var j = lane; j < call.width; j += wide) {
    var u = (x[at + j] - centre) * r * weight[j];
    if ((call.present & 4u) != 0u) {
      u += bias[j];
    }
    y[at + j] = u;
  }
  if (lane == 0u) {
    mean_out[row] = centre;
    rstd_out[row] = r;
  }
}

@compute @workgroup_size(wide)
fn backward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups);
  if (row >= call.rows) {
    return;
  }
  let at = row * call.width;
  let centre = mean[row];
  let r = rstd[row];
  var total = 0.0;
  var dot = 0.0;
  for (var j = lane; j < call.width; j += wide) {
    let arriving = dy[at + j] * weight[j];
    total += arriving;
    dot += arriving * (x[at + j] - centre) * r;
  }
  let shift = sum_wide(lane, total) / f32(call.width);
  let pull = sum_wide(lane, dot) / f32(call.width);
  for (var j = lane; j < call.width; j += wide) {
    dx[at + j] = r * (dy[at + j] * weight[j] - shift - (x[at + j] - centre) * r * pull);
  }
}

// Rows of a part of the weights' sums.
const kRows = 64u;

@compute @workgroup_size(64)
fn weight_parts(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let across = ceil_div(call.width, 64u);
  let index = flat(group, groups);
  let part = index / across;
  let j = index % across * 64u + lane;
  if (part * kRows >= call.rows || j >= call.width) {
    return;
  }
  var scaled = 0.0;
  var plain = 0.0;
  for (var row = part * kRows; row < min(call.rows, (part + 1u) * kRows); row++) {
    let g = dy[row * call.width + j];
    scaled += g * (x[row * call.width + j] - mean[row]) * rstd[row];
    plain += g;
  }
  partial[part * 2u * call.width + j] = scaled;
  partial[(part * 2u + 1u) * call.width + j] = plain;
}

@compute @workgroup_size(64)
fn weight_sum(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let j = flat(group, groups) * 64u + lane;
  if (j >= call.width) {
    return;
  }
  var scaled = 0.0;
  var plain = 0.0;
  for (var part = 0u; part < ceil_div(call.rows, kRows); part++) {
    scaled += partial[part * 2u * call.width + j];
    plain += partial[(part * 2u + 1u) * call.width + j];
  }
  dweight[j] = scaled;
  dbias[j] = plain;
}
