// A blend of each token with the one before it, y = now + (past - now) share, and what it gives to the gradients; one invocation a number.

// Of token_slopes: dx already holds what other blends gave.
override begun: u32 = 0u;

struct Call {
  present: u32, // bit 1: before
  batch: u32,
  tokens: u32,
  width: u32,
  blends: u32,
  current: u32, // w weighs the token itself
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [batch, tokens, width], as y, dy and dx
@group(0) @binding(2) var<storage, read> before: array<f32>; // [batch, width] or absent: the token before the first
@group(0) @binding(3) var<storage, read> w: array<f32>; // [width], as dw
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;
@group(0) @binding(7) var<storage, read_write> partial: array<f32>; // [parts, width]
@group(0) @binding(8) var<storage, read_write> dw: array<f32>;

// Tokens of a part of dw's sum.
const kPart = 64u;

// The weight of the token before.
fn share(channel: u32) -> f32 {
  return select(w[channel], 1.0 - w[channel], call.current != 0u);
}
fn past(i: u32) -> f32 {
  let token = i / call.width;
  if (token % call.tokens > 0u) {
    return x[i - call.width];
  }
  if ((call.present & 2u) != 0u) {
    return before[token / call.tokens * call.width + i % call.width];
  }
  return 0.0;
}
fn numbers() -> u32 {
  return call.batch * call.tokens * call.width;
}

@compute @workgroup_size(256)
fn blend(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i < numbers()) {
    y[i] = x[i] + (past(i) - x[i]) * share(i % call.width);
  }
}

@compute @workgroup_size(256)
fn token_slopes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= numbers()) {
    return;
  }
  let own = share(i % call.width);
  var slope = dy[i] * (1.0 - own);
  if (i / call.width % call.tokens + 1u < call.tokens) {
    slope += dy[i + call.width] * own;
  }
  if (begun != 0u) {
    slope += dx[i];
  }
  dx[i] = slope;
}

// Σ dy (past - now) over the tokens of a part, a lane a channel.
@compute @workgroup_size(64)
fn share_parts(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let across = ceil_div(call.width, 64u);
  let index = flat(group, groups);
  let part = index / across;
  let channel = index % across * 64u + lane;
  let all = call.batch * call.tokens;
  if (part * kPart >= all || channel >= call.width) {
    return;
  }
  var sum = 0.0;
  for (var token = part * kPart; token < min(all, (part + 1u) * kPart); token++) {
    let i = token * call.width + channel;
    sum += dy[i] * (past(i) - x[i]);
  }
  partial[part * call.width + channel] = select(sum, -sum, call.current != 0u);
}

@compute @workgroup_size(64)
fn share_sums(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let channel = flat(group, groups) * 64u + lane;
  if (channel >= call.width) {
    return;
  }
  var sum = 0.0;
  for (var part = 0u; part < ceil_div(call.batch * call.tokens, kPart); part++) {
    sum += partial[part * call.width + channel];
  }
  dw[channel] = sum;
}
