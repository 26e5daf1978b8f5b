// Sums over channels between all pairs of tokens, forward and gradient: each lane makes a number by itself. Lanes of a gradient stand side by side by
// channel and walk over the other tokens, so that they read one slope together and neighbouring channels.

struct Call {
  present: u32,
  n: u32,
  T: u32,
  d: u32,
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> turns: array<f32>; // [n, T, d], as rows, columns and their gradients
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> columns: array<f32>;
@group(0) @binding(4) var<storage, read> dsums: array<f32>; // [n, T, T], as sums
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;
@group(0) @binding(6) var<storage, read_write> dturns: array<f32>;
@group(0) @binding(7) var<storage, read_write> drows: array<f32>;
@group(0) @binding(8) var<storage, read_write> dcolumns: array<f32>;

const kPi = 3.14159265358979312;
const kGrid = 4096;

// sin(pi x) for |x| <= 1/2, by its Taylor series up to x^13: WGSL's own sine is right to 2⁻¹¹ only.
fn sin_pi(x: f32) -> f32 {
  let z = x * x;
  let p = -5.16771278004997026 + z * (2.55016403987734552 + z * (-0.599264529320792105 + z * (0.0821458866111282326
    + z * (-0.00737043094571435077 + z * 0.000466302805767612570))));
  return x * (kPi + z * p);
}

// turns times j without whole turns, within half a turn. The multiple of 1/4096 in `turn` is multiplied in whole numbers, where a float32 product
// would lose the digits of what is left over.
fn phase(turn: f32, j: u32) -> f32 {
  let part = turn - trunc(turn);
  let coarse = i32(part * f32(kGrid));
  let rest = part - f32(coarse) / f32(kGrid);
  let left = f32(coarse * i32(j) % kGrid) / f32(kGrid) + rest * f32(j);
  return left - round(left);
}

// The place of a pair: matrix, row, column.
fn pair(i: u32) -> vec3<u32> {
  return vec3<u32>(i / call.T / call.T, i / call.T % call.T, i % call.T);
}

@compute @workgroup_size(256)
fn waves(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= call.n * call.T * call.T) {
    return;
  }
  let at = pair(i);
  var sum = 0.0;
  for (var c = 0u; c < call.d; c++) {
    let s = sin_pi(phase(turns[(at.x * call.T + at.y) * call.d + c], at.z));
    sum += s * s;
  }
  sums[i] = sum;
}

@compute @workgroup_size(256)
fn reciprocals(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= call.n * call.T * call.T) {
    return;
  }
  let at = pair(i);
  var sum = 0.0;
  for (var c = 0u; c < call.d; c++) {
    sum += 1.0 / (rows[(at.x * call.T + at.y) * call.d + c] + columns[(at.x * call.T + at.z) * call.d + c]);
  }
  sums[i] = sum;
}

// A token's channel of a gradient: its matrix's first token, itself, and its channel.
struct Own {
  first: u32,
  token: u32,
  c: u32,
  past: bool,
}
fn own(group: vec3<u32>, groups: vec3<u32>, lane: u32) -> Own {
  let i = flat(group, groups) * 64u + lane;
  let token = i / call.d;
  return Own(token / call.T * call.T, token, i % call.d, i >= call.n * call.T * call.d);
}

// Σ_j dsums[i, j] π j sin(2 π turns j).
@compute @workgroup_size(64)
fn wave_slopes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let at = own(group, groups, lane);
  if (at.past) {
    return;
  }
  let i = at.token * call.d + at.c;
  var sum = 0.0;
  for (var j = 0u; j < call.T; j++) {
    let left = phase(turns[i], j);
    let near = min(abs(left), 0.5 - abs(left)); // sin(2 π x) repeats itself backwards from 1/4 on
    sum += dsums[at.token * call.T + j] * f32(j) * sign(left) * sin_pi(2.0 * near);
  }
  dturns[i] = kPi * sum;
}

// Slope of a reciprocal.
fn fall(row: f32, column: f32) -> f32 {
  let u = 1.0 / (row + column);
  return -u * u;
}

@compute @workgroup_size(64)
fn row_slopes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let at = own(group, groups, lane);
  if (at.past) {
    return;
  }
  let i = at.token * call.d + at.c;
  var sum = 0.0;
  for (var j = 0u; j < call.T; j++) {
    sum += dsums[at.token * call.T + j] * fall(rows[i], columns[(at.first + j) * call.d + at.c]);
  }
  drows[i] = sum;
}

@compute @workgroup_size(64)
fn column_slopes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let at = own(group, groups, lane);
  if (at.past) {
    return;
  }
  let i = at.token * call.d + at.c;
  var sum = 0.0;
  for (var row = at.first; row < at.first + call.T; row++) {
    sum += dsums[row * call.T + at.token - at.first] * fall(rows[row * call.d + at.c], columns[i]);
  }
  dcolumns[i] = sum;
}
