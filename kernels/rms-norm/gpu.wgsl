// RMSNorm over channels or groups of channels, plain, of a sum, or with a SiLU gate before or after it; forward and gradient.

override gated: u32 = 0u;
override added: u32 = 0u; // a sum of two is normalised and given too; what reaches it past the norm is added to its gradient

struct Call {
  present: u32,
  rows: u32,
  width: u32,
  groups: u32,
  gateFirst: u32,
  epsilon: f32,
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [rows, width], as gate, dy, y, dx and dgate
@group(0) @binding(2) var<storage, read> gate: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>; // [width]
@group(0) @binding(4) var<storage, read> rstd: array<f32>; // [rows, groups]
@group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@group(0) @binding(7) var<storage, read_write> rstd_out: array<f32>;
@group(0) @binding(8) var<storage, read_write> dx: array<f32>;
@group(0) @binding(9) var<storage, read_write> dgate: array<f32>;
@group(0) @binding(10) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(11) var<storage, read_write> partial: array<f32>; // [parts, width]
@group(0) @binding(12) var<storage, read> y_in: array<f32>; // like x, as the sum and dsum
@group(0) @binding(13) var<storage, read_write> sum_out: array<f32>;
@group(0) @binding(14) var<storage, read> dsum: array<f32>;

// silu(gate), or 1 without a gate.
fn open(i: u32) -> f32 {
  if (gated == 0u) {
    return 1.0;
  }
  return silu(gate[i]);
}

// What is normalised, before a gate.
fn input(i: u32) -> f32 {
  if (added == 0u) {
    return x[i];
  }
  return x[i] + y_in[i];
}

// The gate's factor on what is normalised, and on what comes out.
fn before(i: u32) -> f32 {
  if (call.gateFirst == 0u) {
    return 1.0;
  }
  return open(i);
}
fn after(i: u32) -> f32 {
  if (call.gateFirst != 0u) {
    return 1.0;
  }
  return open(i);
}

// One workgroup a row and group.
@compute @workgroup_size(wide)
fn forward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  if (index >= call.rows * call.groups) {
    return;
  }
  let size = call.width / call.groups;
  let first = index * size;
  let channel = (index % call.groups) * size;
  var square = 0.0;
  for (var j = lane; j < size; j += wide) {
    let u = input(first + j);
    if (added != 0u) {
      sum_out[first + j] = u;
    }
    let n = u * before(first + j);
    square += n * n;
  }
  let r = 1.0 / sqrt(sum_wide(lane, square) / f32(size) + call.epsilon);
  for (var j = lane; j < size; j += wide) {
    let i = first + j;
    y[i] = input(i) * open(i) * r * weight[channel + j];
  }
  if (lane == 0u) {
    rstd_out[index] = r;
  }
}

// With u what is normalised and a the gradient of u · rstd:  du = rstd (a - u rstd² mean(a u)). One workgroup a row and group.
@compute @workgroup_size(wide)
fn backward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  if (index >= call.rows * call.groups) {
    return;
  }
  let size = call.width / call.groups;
  let first = index * size;
  let channel = (index % call.groups) * size;
  let r = rstd[index];
  var dot = 0.0;
  for (var j = lane; j < size; j += wide) {
    let i = first + j;
    dot += dy[i] * weight[channel + j] * x[i] * open(i);
  }
  let pull = sum_wide(lane, dot) * r * r / f32(size);
  for (var j = lane; j < size; j += wide) {
    let i = first + j;
    let arriving = dy[i] * weight[channel + j];
    let du = r * (arriving * after(i) - x[i] * before(i) * pull);
    dx[i] = du * before(i);
    if (added != 0u) {
      dx[i] += dsum[i];
    }
    if (gated != 0u) {
      dgate[i] = silu_slope(gate[i]) * x[i] * select(arriving * r, du, call.gateFirst != 0u);
    }
  }
}

// Rows of a part of dweight's sum.
const kRows = 64u;

// One invocation a channel, one row of workgroups a part.
@compute @workgroup_size(64)
fn weight_parts(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let across = ceil_div(call.width, 64u);
  let index = flat(group, groups);
  let part = index / across;
  let j = (index % across) * 64u + lane;
  if (part * kRows >= call.rows || j >= call.width) {
    return;
  }
  let g = j / (call.width / call.groups);
  var sum = 0.0;
  for (var row = part * kRows; row < min(call.rows, (part + 1u) * kRows); row++) {
    let i = row * call.width + j;
    sum += dy[i] * x[i] * open(i) * rstd[row * call.groups + g];
  }
  partial[part * call.width + j] = sum;
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
  var sum = 0.0;
  for (var part = 0u; part < ceil_div(call.rows, kRows); part++) {
    sum += partial[part * call.width + j];
  }
  dweight[j] = sum;
}
