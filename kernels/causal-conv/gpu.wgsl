// Depthwise convolution, causal or looking ahead, with SiLU after it or without; forward and gradient. One invocation a token and channel.

struct Call {
  present: u32, // bit 2: bias
  B: u32,
  T: u32,
  C: u32,
  K: u32, // taps
  silu: u32,
  ahead: i32, // by how many tokens the taps look ahead
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [B, T, C], as y, dy, du and dx
@group(0) @binding(2) var<storage, read> weight: array<f32>; // [K, C]
@group(0) @binding(3) var<storage, read> bias: array<f32>; // [C] or absent
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<storage, read_write> du: array<f32>; // gradient before the activation
@group(0) @binding(7) var<storage, read_write> dx: array<f32>;
@group(0) @binding(8) var<storage, read_write> partial: array<f32>; // [parts, K + 1, C], row K for the bias
@group(0) @binding(9) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(10) var<storage, read_write> dbias: array<f32>;

// Number i of x before the activation.
fn convolved(i: u32) -> f32 {
  let c = i % call.C;
  let t = i / call.C % call.T;
  var sum = 0.0;
  if ((call.present & 4u) != 0u) {
    sum = bias[c];
  }
  for (var back = 0u; back < call.K; back++) {
    let source = i32(t) + call.ahead - i32(back);
    if (source >= 0 && source < i32(call.T)) {
      sum += weight[(call.K - 1u - back) * call.C + c] * x[i + u32(source) * call.C - t * call.C];
    }
  }
  return sum;
}

@compute @workgroup_size(256)
fn forward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= call.B * call.T * call.C) {
    return;
  }
  var u = convolved(i);
  if (call.silu != 0u) {
    u = silu(u);
  }
  y[i] = u;
}

@compute @workgroup_size(256)
fn slopes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= call.B * call.T * call.C) {
    return;
  }
  var g = dy[i];
  if (call.silu != 0u) {
    g *= silu_slope(convolved(i));
  }
  du[i] = g;
}

@compute @workgroup_size(256)
fn inputs(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= call.B * call.T * call.C) {
    return;
  }
  let t = i / call.C % call.T;
  var sum = 0.0;
  for (var back = 0u; back < call.K; back++) {
    let to = i32(t) - call.ahead + i32(back);
    if (to >= 0 && to < i32(call.T)) {
      sum += weight[(call.K - 1u - back) * call.C + i % call.C] * du[i + u32(to) * call.C - t * call.C];
    }
  }
  dx[i] = sum;
}

// Rows [B · T] of a part of the weights' sums.
const kRows = 64u;

@compute @workgroup_size(64)
fn weight_parts(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let across = ceil_div(call.C, 64u);
  let index = flat(group, groups);
  let c = index % across * 64u + lane;
  let tap = index / across % (call.K + 1u);
  let part = index / across / (call.K + 1u);
  let total = call.B * call.T;
  if (part * kRows >= total || c >= call.C) {
    return;
  }
  var sum = 0.0;
  for (var row = part * kRows; row < min(total, (part + 1u) * kRows); row++) {
    if (tap == call.K) {
      sum += du[row * call.C + c];
      continue;
    }
    let t = row % call.T;
    let source = i32(t) + call.ahead - i32(call.K - 1u - tap);
    if (source >= 0 && source < i32(call.T)) {
      sum += du[row * call.C + c] * x[(row - t + u32(source)) * call.C + c];
    }
  }
  partial[(part * (call.K + 1u) + tap) * call.C + c] = sum;
}

@compute @workgroup_size(64)
fn weight_sum(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let size = (call.K + 1u) * call.C;
  let i = flat(group, groups) * 64u + lane;
  if (i >= size) {
    return;
  }
  var sum = 0.0;
  for (var part = 0u; part < ceil_div(call.B * call.T, kRows); part++) {
    sum += partial[part * size + i];
  }
  if (i < call.K * call.C) {
    dweight[i] = sum;
  } else {
    dbias[i - call.K * call.C] = sum;
  }
}
