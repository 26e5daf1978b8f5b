// RWKV-4's weighted mean and its gradient, a lane a channel of a row. The denominator is kept as q·eᵒ, so that no exponential overflows, and the
// mean in place of the numerator, so that what is near it keeps its digits.

struct Wkv4 {
  present: u32,
  batch: u32,
  tokens: u32,
  channels: u32,
}
@group(0) @binding(0) var<uniform> shape: Wkv4;
@group(0) @binding(1) var<storage, read> k: array<f32>; // [batch, tokens, channels]
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> w: array<f32>; // [channels]
@group(0) @binding(4) var<storage, read> u: array<f32>;
@group(0) @binding(5) var<storage, read> dy: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@group(0) @binding(7) var<storage, read_write> sums: array<f32>; // [batch, segments, 3, channels]
@group(0) @binding(8) var<storage, read_write> dk: array<f32>;
@group(0) @binding(9) var<storage, read_write> dv: array<f32>;
@group(0) @binding(10) var<storage, read_write> dw: array<f32>;
@group(0) @binding(11) var<storage, read_write> du: array<f32>;
// Of each row and channel: y, exponent and inverse of the denominator a token, [3, batch, tokens, channels]; then dw and du, [2, batch, channels].
@group(0) @binding(12) var<storage, read_write> trail: array<f32>;

const kSegment = 64u;
const kNothing = -1e38;

struct Sums {
  mean: f32,
  q: f32,
  o: f32,
}
// With one more value at e^key, after a decay of what there was.
fn with_token(s: Sums, decay: f32, key: f32, number: f32) -> Sums {
  let o = max(s.o + decay, key);
  let own = exp(key - o);
  let q = exp(s.o + decay - o) * s.q + own;
  return Sums(s.mean + own / q * (number - s.mean), q, o);
}

@compute @workgroup_size(64)
fn forward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 64u + lane;
  if (i >= shape.batch * shape.channels) {
    return;
  }
  let c = i % shape.channels;
  let row = i / shape.channels;
  var s = Sums(0.0, 0.0, kNothing);
  for (var t = 0u; t < shape.tokens; t++) {
    if (t % kSegment == 0u) {
      let to = (row * ceil_div(shape.tokens, kSegment) + t / kSegment) * 3u * shape.channels + c;
      sums[to] = s.mean;
      sums[to + shape.channels] = s.q;
      sums[to + 2u * shape.channels] = s.o;
    }
    let at = (row * shape.tokens + t) * shape.channels + c;
    y[at] = with_token(s, 0.0, u[c] + k[at], v[at]).mean;
    s = with_token(s, w[c], k[at], v[at]);
  }
}

@compute @workgroup_size(64)
fn backward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 64u + lane;
  let rows = shape.batch * shape.channels;
  if (i >= rows) {
    return;
  }
  let c = i % shape.channels;
  let row = i / shape.channels;
  let all = rows * shape.tokens;
  var s = Sums(0.0, 0.0, kNothing);
  var faded = 0.0; // derivative of q by w
  var leaning = 0.0; // that of the numerator, less the mean times this
  var slope_w = 0.0;
  var slope_u = 0.0;
  for (var t = 0u; t < shape.tokens; t++) {
    let at = (row * shape.tokens + t) * shape.channels + c;
    let read = with_token(s, 0.0, u[c] + k[at], v[at]);
    let inverse = 1.0 / read.q;
    slope_w += dy[at] * (leaning - faded * (read.mean - s.mean)) * exp(s.o - read.o) * inverse;
    slope_u += dy[at] * (v[at] - read.mean) * exp(u[c] + k[at] - read.o) * inverse;
    trail[at] = read.mean;
    trail[all + at] = read.o;
    trail[2u * all + at] = inverse;
    let next = with_token(s, w[c], k[at], v[at]);
    let keep = exp(s.o + w[c] - next.o);
    leaning = keep * (leaning - (next.mean - s.mean) * (faded + s.q));
    faded = keep * (faded + s.q);
    s = next;
  }
  trail[3u * all + i] = slope_w;
  trail[3u * all + rows + i] = slope_u;
  // What later tokens ask of this one: Σ dy e^(decay since) / denominator, and the same times how far their means lie from the last one's, as
  // numbers times eᵒ.
  var asked = 0.0;
  var astray = 0.0;
  var last = 0.0;
  var scale = kNothing;
  for (var t = shape.tokens; t > 0u; t--) {
    let at = (row * shape.tokens + t - 1u) * shape.channels + c;
    let mean = trail[at];
    let o = trail[all + at];
    let share = trail[2u * all + at] * dy[at];
    let own = exp(u[c] + k[at] - o) * share;
    let later = exp(k[at] + scale);
    dv[at] = own + later * asked;
    dk[at] = own * (v[at] - mean) + later * ((v[at] - last) * asked - astray);
    let next = max(scale + w[c], -o);
    let keep = exp(scale + w[c] - next);
    astray = keep * (astray + (last - mean) * asked);
    asked = keep * asked + exp(-o - next) * share;
    last = mean;
    scale = next;
  }
}

@compute @workgroup_size(64)
fn weights(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let c = flat(group, groups) * 64u + lane;
  if (c >= shape.channels) {
    return;
  }
  let rows = shape.batch * shape.channels;
  let first = 3u * rows * shape.tokens + c;
  var sum = vec2(0.0);
  for (var row = 0u; row < shape.batch; row++) {
    sum += vec2(trail[first + row * shape.channels], trail[first + rows + row * shape.channels]);
  }
  dw[c] = sum.x;
  du[c] = sum.y;
}
