// Activations, gated ones act(gate) · up, and their gradients, one invocation a number.

struct Call {
  present: u32,
  rows: u32,
  F: u32,
  activation: u32, // index into `activations` of kernel.ts
}
struct Alone {
  present: u32,
  n: u32,
  activation: u32,
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(0) var<uniform> alone: Alone;
@group(0) @binding(1) var<storage, read> gate: array<f32>; // [.., F], as up, y, dy, dgate and dup
@group(0) @binding(2) var<storage, read> up: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>; // [.., 2F], gate and up side by side, as dx
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<storage, read_write> dgate: array<f32>;
@group(0) @binding(7) var<storage, read_write> dup: array<f32>;
@group(0) @binding(8) var<storage, read_write> dx: array<f32>;

const kRoot = 0.7978845608028654; // sqrt(2 / pi)
const kCubic = 0.044715;

// Beyond 15 the result is 1 to the last bit; some drivers' own overflow there.
fn tanh_of(u: f32) -> f32 {
  return 1.0 - 2.0 / (exp(2.0 * clamp(u, -15.0, 15.0)) + 1.0);
}

// The activation and its derivative.
fn act(u: f32, which: u32) -> vec2<f32> {
  switch which {
    case 1u: {
      return vec2<f32>(silu(u), silu_slope(u));
    }
    case 2u: {
      let t = tanh_of(kRoot * (u + kCubic * u * u * u));
      return vec2<f32>(0.5 * u * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * u * (1.0 - t * t) * kRoot * (1.0 + 3.0 * kCubic * u * u));
    }
    case 3u: {
      return vec2<f32>(max(u, 0.0), select(0.0, 1.0, u > 0.0));
    }
    case 4u: {
      let r = max(u, 0.0);
      return vec2<f32>(r * r, 2.0 * r);
    }
    case 5u: {
      let s = sigmoid(u);
      return vec2<f32>(s, s * (1.0 - s));
    }
    case 6u: {
      let t = tanh_of(u);
      return vec2<f32>(t, 1.0 - t * t);
    }
    default: {
      return vec2<f32>(u, 1.0);
    }
  }
}

// Where the gate of number i stands in x; its `up` stands F further.
fn packed_at(i: u32) -> u32 {
  return i / call.F * 2u * call.F + i % call.F;
}

@compute @workgroup_size(256)
fn forward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i < call.rows * call.F) {
    y[i] = act(gate[i], call.activation).x * up[i];
  }
}

@compute @workgroup_size(256)
fn backward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i < call.rows * call.F) {
    let a = act(gate[i], call.activation);
    dgate[i] = dy[i] * up[i] * a.y;
    dup[i] = dy[i] * a.x;
  }
}

@compute @workgroup_size(256)
fn packed_forward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i < call.rows * call.F) {
    let at = packed_at(i);
    y[i] = act(x[at], call.activation).x * x[at + call.F];
  }
}

@compute @workgroup_size(256)
fn packed_backward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i < call.rows * call.F) {
    let at = packed_at(i);
    let a = act(x[at], call.activation);
    dx[at] = dy[i] * x[at + call.F] * a.y;
    dx[at + call.F] = dy[i] * a.x;
  }
}

@compute @workgroup_size(256)
fn alone_forward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i < alone.n) {
    y[i] = act(x[i], alone.activation).x;
  }
}

@compute @workgroup_size(256)
fn alone_backward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i < alone.n) {
    dx[i] = dy[i] * act(x[i], alone.activation).y;
  }
}
