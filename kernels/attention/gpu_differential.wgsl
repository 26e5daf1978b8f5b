// What differential attention does around the tiles of gpu.wgsl: its two maps are heads 2 h and 2 h + 1 there; here one is taken from the other,
// o = (first - second) + rest · second, and what is left is normed, y = weight · o · rstd. A row is a token's head: [B, T, H / 2].

@group(0) @binding(25) var<storage, read> first_in: array<f32>; // [rows, e], as second, y and dy
@group(0) @binding(26) var<storage, read> second_in: array<f32>;
@group(0) @binding(27) var<storage, read> rest: array<f32>; // one number, 1 - λ
@group(0) @binding(28) var<storage, read> weight: array<f32>; // [e]
@group(0) @binding(29) var<storage, read> dy: array<f32>;
@group(0) @binding(30) var<storage, read_write> first_out: array<f32>;
@group(0) @binding(31) var<storage, read_write> second_out: array<f32>;
@group(0) @binding(32) var<storage, read_write> y_out: array<f32>;
@group(0) @binding(33) var<storage, read_write> slopes: array<f32>; // gradients of what the maps read, [rows, 2, e]
@group(0) @binding(34) var<storage, read_write> facts: array<f32>; // rstd and Σ do · second of each row, [rows, 2]
@group(0) @binding(35) var<storage, read_write> parts: array<f32>; // [ceil(rows / kRows), e]
@group(0) @binding(36) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(37) var<storage, read_write> drest: array<f32>;

fn rows() -> u32 {
  return call.B * call.T * call.H / 2u;
}
fn difference(one: f32, two: f32) -> f32 {
  return one - two + rest[0] * two;
}

// One workgroup a row.
@compute @workgroup_size(64)
fn norm_rows(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups);
  if (row >= rows()) {
    return;
  }
  let to = row * call.e;
  var square = 0.0;
  for (var c = lane; c < call.e; c += 64u) {
    let u = difference(o[2u * to + c], o[2u * to + call.e + c]);
    square += u * u;
  }
  let rstd = 1.0 / sqrt(sum64(lane, square) / f32(call.e) + call.epsilon);
  for (var c = lane; c < call.e; c += 64u) {
    let one = o[2u * to + c];
    let two = o[2u * to + call.e + c];
    first_out[to + c] = one;
    second_out[to + c] = two;
    y_out[to + c] = difference(one, two) * rstd * weight[c];
  }
}

// do = rstd (a - n mean(a n)), a = dy · weight, n = o · rstd: as the first map's slope, and times -λ as the second's; their deltas, and drest's
// terms. One workgroup a row.
@compute @workgroup_size(64)
fn norm_slopes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups);
  if (row >= rows()) {
    return;
  }
  let at = row * call.e;
  var square = 0.0;
  var dot = 0.0;
  for (var c = lane; c < call.e; c += 64u) {
    let u = difference(first_in[at + c], second_in[at + c]);
    square += u * u;
    dot += u * dy[at + c] * weight[c];
  }
  let rstd = 1.0 / sqrt(sum64(lane, square) / f32(call.e) + call.epsilon);
  let pull = sum64(lane, dot) * rstd * rstd / f32(call.e);
  let minus = rest[0] - 1.0;
  var along_first = 0.0;
  var along_second = 0.0;
  for (var c = lane; c < call.e; c += 64u) {
    let slope = rstd * (dy[at + c] * weight[c] - difference(first_in[at + c], second_in[at + c]) * pull);
    slopes[2u * at + c] = slope;
    slopes[2u * at + call.e + c] = minus * slope;
    along_first += slope * first_in[at + c];
    along_second += slope * second_in[at + c];
  }
  along_first = sum64(lane, along_first);
  along_second = sum64(lane, along_second);
  if (lane == 0u) {
    let heads = call.H / 2u;
    let token = row / heads;
    let line = (token / call.T * call.H + row % heads * 2u) * call.T + token % call.T;
    delta_out[line] = along_first;
    delta_out[line + call.T] = minus * along_second;
    facts[2u * row] = rstd;
    facts[2u * row + 1u] = along_second;
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
  let blocks = ceil_div(call.e, 64u);
  let part = flat(group, groups) / blocks;
  let c = flat(group, groups) % blocks * 64u + lane;
  if (part * kRows >= rows() || c >= call.e) {
    return;
  }
  var sum = 0.0;
  for (var row = part * kRows; row < min(rows(), (part + 1u) * kRows); row++) {
    let i = row * call.e + c;
    sum += dy[i] * difference(first_in[i], second_in[i]) * facts[2u * row];
  }
  parts[part * call.e + c] = sum;
}

@compute @workgroup_size(64)
fn weight_sum(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let c = flat(group, groups) * 64u + lane;
  if (c >= call.e) {
    return;
  }
  var sum = 0.0;
  for (var part = 0u; part < ceil_div(rows(), kRows); part++) {
    sum += parts[part * call.e + c];
  }
  dweight[c] = sum;
}

// One workgroup.
@compute @workgroup_size(64)
fn rest_sum(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var row = lane; row < rows(); row += 64u) {
    sum += facts[2u * row + 1u];
  }
  let whole = sum64(lane, sum);
  if (lane == 0u) {
    drest[0] = whole;
  }
}
