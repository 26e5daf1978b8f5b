// Keys and values of Memory Mosaics: leaky sums in segments of tokens, mixtures with the next token, and both brought to one length a head.
//
// A leaky sum is the one that begins with its segment, and what came before the segment, faded by each token: no lane walks further than a segment,
// or from segment to segment. A row is a token's head, [B, T, H].

override mixed: u32 = 0u; // mixtures are brought to their length, rather than leaky sums
override back: u32 = 0u; // sums go from the last token to the first

struct Call {
  present: u32,
  B: u32,
  T: u32,
  H: u32,
  d: u32,
  raw: f32,
  epsilon: f32,
  power: f32, // of a key's length; 1 for values
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> u: array<f32>; // [B, T, H, d], as all without a shape
@group(0) @binding(2) var<storage, read> scalar: array<f32>; // leak or mix, [H], as scale
@group(0) @binding(3) var<storage, read> scale: array<f32>;
@group(0) @binding(4) var<storage, read> terms: array<f32>; // of the sums that are made
@group(0) @binding(5) var<storage, read_write> sums_out: array<f32>; // each from its segment's beginning
@group(0) @binding(6) var<storage, read_write> carries_out: array<f32>; // the whole sum before each segment, [B, segments, H, d]
@group(0) @binding(7) var<storage, read> sums: array<f32>;
@group(0) @binding(8) var<storage, read> carries: array<f32>;
@group(0) @binding(9) var<storage, read> after_sums: array<f32>; // the same of the slopes, backwards
@group(0) @binding(10) var<storage, read> after_carries: array<f32>;
@group(0) @binding(11) var<storage, read_write> result: array<f32>; // k or v
@group(0) @binding(12) var<storage, read> result_slopes: array<f32>;
@group(0) @binding(13) var<storage, read_write> slopes_out: array<f32>; // of what is brought to its length
@group(0) @binding(14) var<storage, read> slopes: array<f32>;
@group(0) @binding(15) var<storage, read_write> facts_out: array<f32>; // Σ result · slope and Σ slope · (own - next) of each row, [rows, 2]
@group(0) @binding(16) var<storage, read> facts: array<f32>;
@group(0) @binding(17) var<storage, read_write> leak_parts: array<f32>; // like carries
@group(0) @binding(18) var<storage, read_write> du: array<f32>;
@group(0) @binding(19) var<storage, read_write> dleak: array<f32>;
@group(0) @binding(20) var<storage, read_write> dmix: array<f32>;
@group(0) @binding(21) var<storage, read_write> dscale: array<f32>;

const kSpan = 64u; // tokens of a segment
const kTiny = 1e-30; // keeps the root's slope finite at zero
const kLongest = 11.0903396; // ln 65535

fn segments() -> u32 {
  return ceil_div(call.T, kSpan);
}
fn rows() -> u32 {
  return call.B * call.T * call.H;
}
// What is left of a sum of head h after so many tokens.
fn kept(h: u32, tokens: u32) -> f32 {
  return exp(-call.raw * abs(scalar[h]) * f32(tokens));
}

// A segment's channel: its first token and the one past its last, the channel among H d, and where the segment's carry lies.
struct Stretch {
  first: u32, // b T + t
  past: u32,
  channel: u32,
  carry: u32,
  real: bool,
}
fn stretch(index: u32) -> Stretch {
  let width = call.H * call.d;
  let segment = index / width % segments();
  let b = index / width / segments();
  let t0 = segment * kSpan;
  return Stretch(b * call.T + t0, b * call.T + min(call.T, t0 + kSpan), index % width, index, b < call.B);
}

@compute @workgroup_size(64)
fn segment_sums(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let at = stretch(flat(group, groups) * 64u + lane);
  if (!at.real) {
    return;
  }
  let keep = kept(at.channel / call.d, 1u);
  var sum = 0.0;
  for (var n = 0u; n < at.past - at.first; n++) {
    let token = select(at.first + n, at.past - 1u - n, back != 0u);
    let i = token * call.H * call.d + at.channel;
    sum = keep * sum + terms[i];
    sums_out[i] = sum;
  }
}

// From segment to segment, one invocation a channel.
@compute @workgroup_size(64)
fn carry_sums(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let width = call.H * call.d;
  let index = flat(group, groups) * 64u + lane;
  if (index >= call.B * width) {
    return;
  }
  var sum = 0.0;
  for (var n = 0u; n < segments(); n++) {
    let segment = select(n, segments() - 1u - n, back != 0u);
    let at = stretch((index / width * segments() + segment) * width + index % width);
    carries_out[at.carry] = sum;
    let last = select(at.past - 1u, at.first, back != 0u);
    sum = kept(at.channel / call.d, at.past - at.first) * sum + sums[last * width + at.channel];
  }
}

// Channel c of what is brought to its length in a row; a last token has no mixture.
fn vector(row: u32, c: u32) -> f32 {
  let h = row % call.H;
  let t = row / call.H % call.T;
  let i = row * call.d + c;
  if (mixed == 0u) {
    let carry = (row / call.H / call.T * segments() + t / kSpan) * call.H + h;
    return sums[i] + kept(h, t % kSpan + 1u) * carries[carry * call.d + c];
  }
  if (t + 1u == call.T) {
    return 0.0;
  }
  return scalar[h] * u[i] + (1.0 - scalar[h]) * u[i + call.H * call.d];
}
fn exponent(h: u32) -> f32 {
  return call.power * call.raw * scale[h];
}
// The length of head h.
fn length_of(h: u32) -> f32 {
  return exp(select(min(exponent(h), kLongest), exponent(h), mixed != 0u));
}

// One workgroup a row.
@compute @workgroup_size(64)
fn to_length(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups);
  if (row >= rows()) {
    return;
  }
  var square = 0.0;
  for (var c = lane; c < call.d; c += 64u) {
    let a = vector(row, c);
    square += a * a;
  }
  let factor = length_of(row % call.H) / (sqrt(sum64(lane, square) + kTiny) + call.epsilon);
  for (var c = lane; c < call.d; c += 64u) {
    result[row * call.d + c] = factor * vector(row, c);
  }
}

// One workgroup a row.
@compute @workgroup_size(64)
fn to_length_slopes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups);
  if (row >= rows()) {
    return;
  }
  let at = row * call.d;
  let none = mixed != 0u && row / call.H % call.T + 1u == call.T;
  var square = 0.0;
  var dot = 0.0;
  for (var c = lane; c < call.d; c += 64u) {
    let a = vector(row, c);
    square += a * a;
    dot += a * result_slopes[at + c];
  }
  let size = sqrt(sum64(lane, square) + kTiny);
  dot = sum64(lane, dot);
  let factor = length_of(row % call.H);
  let all = size + call.epsilon;
  var along = 0.0; // Σ slope · (own - next)
  for (var c = lane; c < call.d; c += 64u) {
    var slope = 0.0;
    if (!none) {
      slope = factor * (result_slopes[at + c] - dot / all / size * vector(row, c)) / all;
    }
    slopes_out[at + c] = slope;
    if (mixed != 0u && !none) {
      along += slope * (u[at + c] - u[at + c + call.H * call.d]);
    }
  }
  along = sum64(lane, along);
  if (lane == 0u) {
    facts_out[2u * row] = select(factor * dot / all, 0.0, none);
    facts_out[2u * row + 1u] = along;
  }
}

// du[t] = slope[t] + keep du[t + 1], and Σ du[t] · a[t - 1] over the segment.
@compute @workgroup_size(64)
fn leaky_slopes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let at = stretch(flat(group, groups) * 64u + lane);
  if (!at.real) {
    return;
  }
  let width = call.H * call.d;
  let h = at.channel / call.d;
  var sum = 0.0;
  for (var token = at.first; token < at.past; token++) {
    let i = token * width + at.channel;
    let slope = after_sums[i] + kept(h, at.past - token) * after_carries[at.carry];
    du[i] = slope;
    var before = kept(h, token - at.first) * carries[at.carry];
    if (token > at.first) {
      before += sums[i - width];
    }
    sum += slope * before;
  }
  leak_parts[at.carry] = sum;
}

// du[t] = mix slope[t] + (1 - mix) slope[t - 1].
@compute @workgroup_size(256)
fn mixture_slopes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= rows() * call.d) {
    return;
  }
  let row = i / call.d;
  let part = scalar[row % call.H];
  var slope = part * slopes[i];
  if (row / call.H % call.T > 0u) {
    slope += (1.0 - part) * slopes[i - call.H * call.d];
  }
  du[i] = slope;
}

// Sums over the rows of head h of one of their facts, the same in each lane.
fn fact_sum(lane: u32, h: u32, which: u32) -> f32 {
  var sum = 0.0;
  for (var token = lane; token < call.B * call.T; token += 64u) {
    sum += facts[2u * (token * call.H + h) + which];
  }
  return sum64(lane, sum);
}

// One workgroup a head.
@compute @workgroup_size(64)
fn key_scalars(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let h = flat(group, groups);
  if (h >= call.H) {
    return;
  }
  var sum = 0.0;
  for (var i = lane; i < call.B * segments() * call.d; i += 64u) {
    sum += leak_parts[(i / call.d * call.H + h) * call.d + i % call.d];
  }
  let leaks = sum64(lane, sum);
  let scales = fact_sum(lane, h, 0u);
  if (lane == 0u) {
    dleak[h] = select(-call.raw * sign(scalar[h]) * kept(h, 1u) * leaks, 0.0, scalar[h] == 0.0);
    dscale[h] = select(0.0, call.power * call.raw * scales, exponent(h) <= kLongest);
  }
}

// One workgroup a head.
@compute @workgroup_size(64)
fn value_scalars(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let h = flat(group, groups);
  if (h >= call.H) {
    return;
  }
  let scales = fact_sum(lane, h, 0u);
  let mixes = fact_sum(lane, h, 1u);
  if (lane == 0u) {
    dmix[h] = mixes;
    dscale[h] = call.raw * scales;
  }
}
