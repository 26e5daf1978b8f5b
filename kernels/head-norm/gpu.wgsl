// Layer normalisation of each head by itself, with what may be behind it: y = (n · weight + bias + skip · side) · silu(gate), n = (x - mean) · rstd.

struct Call {
  present: u32, // bit 2: bias, 3 and 4: skip and side, 5: gate
  rows: u32,
  width: u32,
  heads: u32,
  epsilon: f32,
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> weight: array<f32>; // [width], as bias and skip
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> skip: array<f32>;
@group(0) @binding(4) var<storage, read_write> factors_out: array<f32>; // weight, bias and skip, 0 where absent: [3, width]
@group(0) @binding(5) var<storage, read> factors: array<f32>;
@group(0) @binding(6) var<storage, read> x: array<f32>; // [rows, width], as side, gate and dy
@group(0) @binding(7) var<storage, read> side: array<f32>;
@group(0) @binding(8) var<storage, read> gate: array<f32>;
@group(0) @binding(9) var<storage, read> mean: array<f32>; // [rows, heads], as rstd
@group(0) @binding(10) var<storage, read> rstd: array<f32>;
@group(0) @binding(11) var<storage, read> dy: array<f32>;
@group(0) @binding(12) var<storage, read_write> y: array<f32>;
@group(0) @binding(13) var<storage, read_write> mean_out: array<f32>;
@group(0) @binding(14) var<storage, read_write> rstd_out: array<f32>;
@group(0) @binding(15) var<storage, read_write> dx: array<f32>;
@group(0) @binding(16) var<storage, read_write> dside: array<f32>;
@group(0) @binding(17) var<storage, read_write> dgate: array<f32>;
@group(0) @binding(18) var<storage, read_write> partial: array<f32>; // of factors: [parts, 3, width]
@group(0) @binding(19) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(20) var<storage, read_write> dbias: array<f32>;
@group(0) @binding(21) var<storage, read_write> dskip: array<f32>;

fn has(bit: u32) -> bool {
  return (call.present & (1u << bit)) != 0u;
}
fn has_bias() -> bool {
  return has(2u);
}
fn has_skip() -> bool {
  return has(3u);
}
fn has_gate() -> bool {
  return has(5u);
}

@compute @workgroup_size(64)
fn pack_factors(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let j = flat(group, groups) * 64u + lane;
  if (j >= call.width) {
    return;
  }
  factors_out[j] = weight[j];
  var shift = 0.0;
  if (has_bias()) {
    shift = bias[j];
  }
  factors_out[call.width + j] = shift;
  var share = 0.0;
  if (has_skip()) {
    share = skip[j];
  }
  factors_out[2u * call.width + j] = share;
}

// What number i of a row's channel j comes to before the gate.
fn ungated(i: u32, j: u32, normed: f32) -> f32 {
  var u = normed * factors[j] + factors[call.width + j];
  if (has_skip()) {
    u += factors[2u * call.width + j] * side[i];
  }
  return u;
}
fn open(i: u32) -> f32 {
  if (has_gate()) {
    return silu(gate[i]);
  }
  return 1.0;
}

// One workgroup a row and head.
@compute @workgroup_size(64)
fn forward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  if (index >= call.rows * call.heads) {
    return;
  }
  let size = call.width / call.heads;
  let first = index * size;
  let channel = index % call.heads * size;
  var total = 0.0;
  for (var j = lane; j < size; j += 64u) {
    total += x[first + j];
  }
  let centre = sum64(lane, total) / f32(size);
  var square = 0.0;
  for (var j = lane; j < size; j += 64u) {
    let u = x[first + j] - centre;
    square += u * u;
  }
  let r = 1.0 / sqrt(sum64(lane, square) / f32(size) + call.epsilon);
  for (var j = lane; j < size; j += 64u) {
    let i = first + j;
    y[i] = ungated(i, channel + j, (x[i] - centre) * r) * open(i);
  }
  if (lane == 0u) {
    mean_out[index] = centre;
    rstd_out[index] = r;
  }
}

// dx = rstd (a - mean(a) - n mean(a n)), a = dy · silu(gate) · weight; and dside. One workgroup a row and head.
@compute @workgroup_size(64)
fn backward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  if (index >= call.rows * call.heads) {
    return;
  }
  let size = call.width / call.heads;
  let first = index * size;
  let channel = index % call.heads * size;
  let centre = mean[index];
  let r = rstd[index];
  var total = 0.0;
  var dot = 0.0;
  for (var j = lane; j < size; j += 64u) {
    let i = first + j;
    let arriving = dy[i] * open(i) * factors[channel + j];
    total += arriving;
    dot += arriving * (x[i] - centre) * r;
  }
  let shift = sum64(lane, total) / f32(size);
  let pull = sum64(lane, dot) / f32(size);
  for (var j = lane; j < size; j += 64u) {
    let i = first + j;
    let slope = dy[i] * open(i);
    dx[i] = r * (slope * factors[channel + j] - shift - (x[i] - centre) * r * pull);
    if (has_skip()) {
      dside[i] = slope * factors[2u * call.width + channel + j];
    }
  }
}

@compute @workgroup_size(256)
fn gate_slopes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= call.rows * call.width || !has_gate()) {
    return;
  }
  let head = i / (call.width / call.heads);
  dgate[i] = dy[i] * ungated(i, i % call.width, (x[i] - mean[head]) * rstd[head]) * silu_slope(gate[i]);
}

const kRows = 64u; // of a part of a sum over rows

// One invocation a channel, one row of workgroups a part.
@compute @workgroup_size(64)
fn factor_parts(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let across = ceil_div(call.width, 64u);
  let part = flat(group, groups) / across;
  let j = flat(group, groups) % across * 64u + lane;
  if (part * kRows >= call.rows || j >= call.width) {
    return;
  }
  var sums = vec3<f32>(0.0);
  for (var row = part * kRows; row < min(call.rows, (part + 1u) * kRows); row++) {
    let i = row * call.width + j;
    let head = i / (call.width / call.heads);
    let slope = dy[i] * open(i);
    var other = 0.0;
    if (has_skip()) {
      other = side[i];
    }
    sums += slope * vec3<f32>((x[i] - mean[head]) * rstd[head], 1.0, other);
  }
  for (var which = 0u; which < 3u; which++) {
    partial[(part * 3u + which) * call.width + j] = sums[which];
  }
}

@compute @workgroup_size(64)
fn factor_sums(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let j = flat(group, groups) * 64u + lane;
  if (j >= call.width) {
    return;
  }
  var sums = vec3<f32>(0.0);
  for (var part = 0u; part < ceil_div(call.rows, kRows); part++) {
    let at = part * 3u * call.width + j;
    sums += vec3<f32>(partial[at], partial[at + call.width], partial[at + 2u * call.width]);
  }
  dweight[j] = sums.x;
  if (has_bias()) {
    dbias[j] = sums.y;
  }
  if (has_skip()) {
    dskip[j] = sums.z;
  }
}
