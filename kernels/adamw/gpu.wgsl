// The steps of AdamW and SGD, in place, one invocation a number; new values that are taken over if all is sound; the sum of squares of a gradient.
// A scale that is not a finite number leaves everything as it is: so the host learns of a broken step without having waited for it.

struct AdamW {
  present: u32, // bit 5: scale
  n: u32,
  beta1: f32,
  beta2: f32,
  eps: f32,
}
struct Sgd {
  present: u32, // bits 2 and 4: buffer, scale
  n: u32,
  nesterov: u32,
  momentum: f32,
  decay: f32,
}
struct Sized {
  present: u32,
  n: u32,
}
@group(0) @binding(0) var<uniform> adam: AdamW;
@group(0) @binding(0) var<uniform> descent: Sgd;
@group(0) @binding(0) var<uniform> square: Sized;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>; // all of one shape, [n]
@group(0) @binding(2) var<storage, read> gradient: array<f32>;
@group(0) @binding(3) var<storage, read_write> buffer: array<f32>;
@group(0) @binding(4) var<storage, read_write> first: array<f32>;
@group(0) @binding(5) var<storage, read_write> second: array<f32>;
@group(0) @binding(6) var<storage, read> rate: array<f32>; // [1]: lr
@group(0) @binding(7) var<storage, read> rates: array<f32>; // [3]: see kernel.ts
@group(0) @binding(8) var<storage, read> scale: array<f32>; // [] or absent
@group(0) @binding(9) var<storage, read> x: array<f32>;
@group(0) @binding(10) var<storage, read_write> partial: array<f32>; // [parts]
@group(0) @binding(11) var<storage, read_write> sum_out: array<f32>; // []
@group(0) @binding(12) var<storage, read> next: array<f32>; // [n]

// Compilers may take it that every float is finite, so its bits are asked.
fn is_finite(u: f32) -> bool {
  return (bitcast<u32>(u) & 0x7f800000u) != 0x7f800000u;
}

@compute @workgroup_size(256)
fn adamw(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= adam.n) {
    return;
  }
  var g = gradient[i];
  if ((adam.present & 32u) != 0u) {
    if (!is_finite(scale[0])) {
      return;
    }
    g *= scale[0];
  }
  let m = adam.beta1 * first[i] + (1.0 - adam.beta1) * g;
  let v = adam.beta2 * second[i] + (1.0 - adam.beta2) * g * g;
  first[i] = m;
  second[i] = v;
  weight[i] = rates[0] * weight[i] - rates[1] * m / (sqrt(v) * rates[2] + adam.eps);
}

@compute @workgroup_size(256)
fn sgd(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= descent.n) {
    return;
  }
  var step = gradient[i];
  if ((descent.present & 16u) != 0u) {
    if (!is_finite(scale[0])) {
      return;
    }
    step *= scale[0];
  }
  step += descent.decay * weight[i];
  if ((descent.present & 4u) != 0u) {
    let b = descent.momentum * buffer[i] + step;
    buffer[i] = b;
    step = select(b, step + descent.momentum * b, descent.nesterov != 0u);
  }
  weight[i] -= rate[0] * step;
}

@compute @workgroup_size(256)
fn store_sound(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i < square.n && is_finite(scale[0])) {
    weight[i] = next[i];
  }
}

// Numbers of a part of the sum.
const kPart = 4096u;

@compute @workgroup_size(wide)
fn square_parts(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let part = flat(group, groups);
  if (part * kPart >= square.n) {
    return;
  }
  var own = 0.0;
  for (var i = part * kPart + lane; i < min(square.n, (part + 1u) * kPart); i += wide) {
    own += x[i] * x[i];
  }
  let total = sum_wide(lane, own);
  if (lane == 0u) {
    partial[part] = total;
  }
}

@compute @workgroup_size(wide)
fn square_sum(@builtin(local_invocation_index) lane: u32) {
  var own = 0.0;
  for (var part = lane; part < ceil_div(square.n, kPart); part += wide) {
    own += partial[part];
  }
  let total = sum_wide(lane, own);
  if (lane == 0u) {
    sum_out[0] = total;
  }
}
