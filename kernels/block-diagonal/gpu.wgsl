// Linear maps of blocks of neighbouring channels, forward and gradient: each lane makes a number by itself, since blocks are narrow; the weights'
// gradient sums over parts of the rows first. The bias counts as one more channel in that is always 1.

struct Call {
  present: u32, // bit 2 of the forward: bias
  rows: u32,
  N: u32, // blocks
  I: u32, // channels in
  O: u32, // channels out
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [rows, N, I], as dx
@group(0) @binding(2) var<storage, read> w: array<f32>; // [N, I, O], as dw
@group(0) @binding(3) var<storage, read> bias: array<f32>; // [N, O], as dbias
@group(0) @binding(4) var<storage, read> dy: array<f32>; // [rows, N, O], as y
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;
@group(0) @binding(7) var<storage, read_write> partial: array<f32>; // [parts, N, I + 1, O]
@group(0) @binding(8) var<storage, read_write> dw: array<f32>;
@group(0) @binding(9) var<storage, read_write> dbias: array<f32>;

const kRows = 256u; // of a part

@compute @workgroup_size(256)
fn forward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  let width = call.N * call.O;
  if (i >= call.rows * width) {
    return;
  }
  let o = i % call.O;
  let n = i / call.O % call.N;
  let at = i / call.O * call.I;
  var sum = 0.0;
  if ((call.present & 4u) != 0u) {
    sum = bias[n * call.O + o];
  }
  for (var c = 0u; c < call.I; c++) {
    sum += x[at + c] * w[(n * call.I + c) * call.O + o];
  }
  y[i] = sum;
}

@compute @workgroup_size(256)
fn backward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= call.rows * call.N * call.I) {
    return;
  }
  let weights = i % (call.N * call.I) * call.O;
  let at = i / call.I * call.O;
  var sum = 0.0;
  for (var o = 0u; o < call.O; o++) {
    sum += dy[at + o] * w[weights + o];
  }
  dx[i] = sum;
}

@compute @workgroup_size(256)
fn weight_parts(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  let each = call.N * (call.I + 1u) * call.O;
  let first = i / each * kRows;
  if (first >= call.rows) {
    return;
  }
  let o = i % call.O;
  let c = i / call.O % (call.I + 1u);
  let n = i % each / call.O / (call.I + 1u);
  var sum = 0.0;
  for (var row = first; row < min(call.rows, first + kRows); row++) {
    let slope = dy[(row * call.N + n) * call.O + o];
    if (c < call.I) {
      sum += slope * x[(row * call.N + n) * call.I + c];
    } else {
      sum += slope;
    }
  }
  partial[i] = sum;
}

@compute @workgroup_size(64)
fn weight_sums(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 64u + lane;
  let each = call.N * (call.I + 1u) * call.O;
  if (i >= each) {
    return;
  }
  var sum = 0.0;
  for (var part = 0u; part < ceil_div(call.rows, kRows); part++) {
    sum += partial[part * each + i];
  }
  let o = i % call.O;
  let c = i / call.O % (call.I + 1u);
  let n = i / call.O / (call.I + 1u);
  if (c < call.I) {
    dw[(n * call.I + c) * call.O + o] = sum;
  } else {
    dbias[n * call.O + o] = sum;
  }
}
