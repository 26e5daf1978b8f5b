// The matrix memory of xLSTM (arXiv 2405.04517, section 2.3) in chunks of 64 tokens, forward and gradient, with the sums of cpu.cc in float32.
//
// Within a chunk, m0 the stabiliser that entered and lf the log forget gates:
//   log D[t][j] = i[j] + Σ_{j<k<=t} lf[k] - m[t],  log w[t] = m0 + Σ_{k<=t} lf[k] - m[t],  m[t] the largest of what m[t] is taken from
//   S[t][j] = (q[t]·k[j] / √d) D[t][j],  size[t] = w[t] q[t]·n + Σ_j S[t][j]
//   y[t] = (w[t] q[t]·C + Σ_j S[t][j] v[j]) / (max(|size[t]|, e^-m[t]) + eps)
// Exponents are sums over their own tokens, never differences of longer sums, and none is above 0. The memory holds C - n rᵀ, with r the value of
// the token with the largest log weight: y is near r where that token outweighs all others, and what is left keeps its digits.
//
// Products are tiles of 64 x 64, a chunk or 64 channels on each side. Weights of pairs of tokens lie in scratch memory. Every sum has one owner and
// a fixed order. The gradient's passes are in gpu_gradient.wgsl, of one module with these.

struct Call {
  present: u32,
  batch: u32,
  H: u32,
  T: u32,
  d: u32,
  exponential: u32,
  tokens_first: u32,
  eps: f32,
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> q_in: array<f32>; // [batch, H, T, d] or [batch, T, H, d], as k, v, y and their slopes
@group(0) @binding(2) var<storage, read> k_in: array<f32>;
@group(0) @binding(3) var<storage, read> v_in: array<f32>;
@group(0) @binding(4) var<storage, read> i_in: array<f32>; // as q without d, as f, size and their slopes
@group(0) @binding(5) var<storage, read> f_in: array<f32>;
@group(0) @binding(6) var<storage, read> size_in: array<f32>;
@group(0) @binding(7) var<storage, read> memories_in: array<f32>; // [batch, H, chunks, d + 2, d]: see kernel.ts
@group(0) @binding(8) var<storage, read> dy_in: array<f32>;
@group(0) @binding(9) var<storage, read_write> y_out: array<f32>;
@group(0) @binding(10) var<storage, read_write> memories_out: array<f32>;
@group(0) @binding(11) var<storage, read_write> stabilisers_out: array<f32>; // [batch, H, chunks]
@group(0) @binding(12) var<storage, read_write> size_out: array<f32>;
@group(0) @binding(13) var<storage, read_write> rates: array<f32>; // [batch, H, chunks, kRates]
@group(0) @binding(14) var<storage, read_write> held: array<f32>; // [batch, H, chunks, kHeld]
@group(0) @binding(15) var<storage, read_write> weights: array<f32>; // [batch, H, chunks, 64, 64]: D, then its slopes times S / D
@group(0) @binding(16) var<storage, read_write> pairs: array<f32>; // S, then over the denominator
@group(0) @binding(17) var<storage, read_write> added: array<f32>; // [batch, H, chunks, d]: what a chunk adds to n
@group(0) @binding(18) var<storage, read_write> slopes: array<f32>; // like pairs: dy·v, then the slopes of the log weights
@group(0) @binding(19) var<storage, read_write> reach: array<f32>; // [batch, H, chunks, 64, d]: (C - n rᵀ) dy
@group(0) @binding(20) var<storage, read_write> pulled: array<f32>; // like reach: of dk, what goes through the memory that leaves
@group(0) @binding(21) var<storage, read_write> leaving: array<f32>; // [batch, H, chunks, d + 1, d]: slopes of the memory that leaves, and of n
@group(0) @binding(22) var<storage, read_write> dq_out: array<f32>;
@group(0) @binding(23) var<storage, read_write> dk_out: array<f32>;
@group(0) @binding(24) var<storage, read_write> dv_out: array<f32>;
@group(0) @binding(25) var<storage, read_write> di_out: array<f32>;
@group(0) @binding(26) var<storage, read_write> df_out: array<f32>;

// What `rates` holds of each token of a chunk, 64 of each.
const kM = 0u; // stabiliser
const kTop = 64u; // the token of the chunk with the largest weight, or -1: one of before
const kRecall = 128u; // w
const kWrite = 192u; // weight in the memory that leaves, over √d
const kSize = 256u;
const kOwn = 320u; // w q·n, the memory's share of size
const kRuling = 384u; // dy·r
const kReading = 448u; // w q·reach
const kUnit = 512u; // 1 / denominator
const kShift = 576u; // slope of w q·n
const kDrift = 640u; // slope of the stabiliser, through eps
const kRecalled = 704u; // slope of log w
const kRates = 768u;

// What `held` has of a chunk.
const kFaded = 0u; // Σ lf
const kStrongest = 1u; // the largest log weight among its tokens at its end
const kBest = 2u; // its token
const kBefore = 3u; // stabiliser that enters
const kAfter = 4u; // stabiliser that leaves
const kRuler = 5u; // the token of the row whose value is r before the chunk, or -1
const kThrough = 6u; // slope of kAfter
const kKept = 7u; // slope of a log factor of the memory that enters, in the one that leaves
const kHeld = 8u;

const kNothing = -1.0e30; // stabiliser of an empty memory

var<workgroup> fades: array<f32, 64>;
var<workgroup> inputs: array<f32, 64>;
var<workgroup> stabilisers: array<f32, 64>;

fn chunk_count() -> u32 {
  return ceil_div(call.T, 64u);
}
fn all_chunks() -> u32 {
  return call.batch * call.H * chunk_count();
}
fn tiles() -> u32 {
  return ceil_div(call.d, 64u);
}

// A chunk of one row (batch, head); `at` counts chunks over rows.
struct Chunk {
  at: u32,
  row: u32,
  t0: u32,
  tokens: u32,
  last: bool,
}
fn chunk_at(at: u32) -> Chunk {
  let row = at / chunk_count();
  let t0 = at % chunk_count() * 64u;
  return Chunk(at, row, t0, min(64u, call.T - t0), t0 + 64u >= call.T);
}
// Index of a gate; times d of a channel: token t of a row.
fn token_at(row: u32, t: u32) -> u32 {
  if (call.tokens_first != 0u) {
    return (row / call.H * call.T + t) * call.H + row % call.H;
  }
  return row * call.T + t;
}
fn rate(c: Chunk, kind: u32, t: u32) -> f32 {
  return rates[c.at * kRates + kind + t];
}
fn scale() -> f32 {
  return inverseSqrt(f32(call.d));
}
fn inside(c: Chunk, t: u32, channel: u32) -> bool {
  return t < c.tokens && channel < call.d;
}
fn channel_at(c: Chunk, t: u32, channel: u32) -> u32 {
  return token_at(c.row, c.t0 + t) * call.d + channel;
}
// Zeros beyond the edges.
fn q_of(c: Chunk, t: u32, channel: u32) -> f32 {
  if (inside(c, t, channel)) {
    return q_in[channel_at(c, t, channel)];
  }
  return 0.0;
}
fn k_of(c: Chunk, t: u32, channel: u32) -> f32 {
  if (inside(c, t, channel)) {
    return k_in[channel_at(c, t, channel)];
  }
  return 0.0;
}
fn v_of(c: Chunk, t: u32, channel: u32) -> f32 {
  if (inside(c, t, channel)) {
    return v_in[channel_at(c, t, channel)];
  }
  return 0.0;
}
// A channel of r before chunk `at` of the row.
fn ruling(at: u32, row: u32, channel: u32) -> f32 {
  let token = held[at * kHeld + kRuler];
  if (token < 0.0 || channel >= call.d) {
    return 0.0;
  }
  return v_in[token_at(row, u32(token)) * call.d + channel];
}

fn log_forget(at: u32) -> f32 {
  let u = f_in[at];
  if (call.exponential != 0u) {
    return u;
  }
  return min(u, 0.0) - ln_1p(exp(-abs(u)));
}
// e^u for u of about 0 and less, however far.
fn faded(u: f32) -> f32 {
  return select(exp(max(u, -100.0)), 0.0, u < -100.0);
}
// The smallest denominator. e^-m overflows, and from e^80 on the output is 0 anyway; below e^-40 it would be divided by.
fn lowest(m: f32) -> f32 {
  return exp(clamp(-m, -40.0, 80.0));
}
// Log forget gates of a chunk into fades, 0 beyond its tokens, and input gates into inputs.
fn load_gates(lane: u32, c: Chunk) {
  var fade = 0.0;
  var input = kNothing;
  if (lane < c.tokens) {
    fade = log_forget(token_at(c.row, c.t0 + lane));
    input = i_in[token_at(c.row, c.t0 + lane)];
  }
  fades[lane] = fade;
  inputs[lane] = input;
  workgroupBarrier();
}

// Σ lf of a chunk, and the token that weighs most at its end.
@compute @workgroup_size(64)
fn spans(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let at = flat(group, groups);
  if (at >= all_chunks()) {
    return;
  }
  load_gates(lane, chunk_at(at));
  var after = 0.0;
  for (var t = 63u; t > lane; t--) {
    after += fades[t];
  }
  stabilisers[lane] = after + inputs[lane];
  workgroupBarrier();
  if (lane == 0u) {
    var best = 0u;
    for (var t = 1u; t < 64u; t++) {
      if (stabilisers[t] > stabilisers[best]) {
        best = t;
      }
    }
    held[at * kHeld + kFaded] = after + fades[0];
    held[at * kHeld + kStrongest] = stabilisers[best];
    held[at * kHeld + kBest] = f32(best);
  }
}

// Stabilisers and ruling tokens before and after each chunk, one invocation a row.
@compute @workgroup_size(64)
fn stabilise(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups) * 64u + lane;
  if (row >= call.batch * call.H) {
    return;
  }
  var m = kNothing;
  var ruler = -1.0;
  for (var at = row * chunk_count(); at < (row + 1u) * chunk_count(); at++) {
    held[at * kHeld + kBefore] = m;
    held[at * kHeld + kRuler] = ruler;
    m += held[at * kHeld + kFaded];
    if (held[at * kHeld + kStrongest] > m) {
      m = held[at * kHeld + kStrongest];
      ruler = f32(chunk_at(at).t0) + held[at * kHeld + kBest];
    }
    held[at * kHeld + kAfter] = m;
  }
}

// Stabilisers of a chunk's tokens, weights of their pairs and of the memory's; lanes own tokens, then columns.
@compute @workgroup_size(64)
fn weigh(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let at = flat(group, groups);
  if (at >= all_chunks()) {
    return;
  }
  let c = chunk_at(at);
  load_gates(lane, c);
  var most = kNothing;
  var top = -1.0;
  var sum = 0.0;
  for (var back = 0u; back <= lane; back++) {
    let j = lane - back;
    let weight = sum + inputs[j];
    if (weight >= most) { // of equal ones the first
      most = weight;
      top = f32(j);
    }
    sum += fades[j];
  }
  let remembered = held[at * kHeld + kBefore] + sum;
  if (remembered >= most) {
    most = remembered;
    top = -1.0;
  }
  stabilisers[lane] = most;
  workgroupBarrier();
  var after = 0.0;
  for (var t = 63u; t > lane; t--) {
    after += fades[t];
  }
  let base = at * kRates + lane;
  rates[base + kM] = most;
  rates[base + kTop] = top;
  rates[base + kRecall] = select(0.0, faded(remembered - most), lane < c.tokens);
  rates[base + kWrite] = select(0.0, faded(after + inputs[lane] - held[at * kHeld + kAfter]) * scale(), lane < c.tokens);
  sum = inputs[lane];
  for (var t = 0u; t < 64u; t++) {
    sum += select(0.0, fades[t], t > lane);
    weights[(at * 64u + t) * 64u + lane] = select(0.0, faded(sum - stabilisers[t]), t >= lane && t < c.tokens);
  }
}

// S of a chunk.
@compute @workgroup_size(256)
fn pair(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let at = flat(group, groups);
  if (at >= all_chunks()) {
    return;
  }
  let c = chunk_at(at);
  var sums = array<vec4<f32>, 4>();
  for (var first = 0u; first < call.d; first += kStripDeep) {
    for (var n = lane; n < 1024u; n += 256u) {
      let to = n % kStripDeep * kStripPitch + n / kStripDeep;
      strip_a[to] = q_of(c, n / kStripDeep, first + n % kStripDeep);
      strip_b[to] = k_of(c, n / kStripDeep, first + n % kStripDeep);
    }
    workgroupBarrier();
    add_strip(lane, &sums);
    workgroupBarrier();
  }
  for (var n = 0u; n < 16u; n++) {
    let to = (at * 64u + lane / 16u + n / 4u * 16u) * 64u + lane % 16u + n % 4u * 16u;
    pairs[to] = weights[to] * scale() * sums[n / 4u][n % 4u];
  }
}

// Σ_j write[j] k[j] (v[j] - r)ᵀ of a chunk, 64 x 64 channels of it, where the next chunk's memory will be; r: the next chunk's.
@compute @workgroup_size(256)
fn add(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  let at = index / (tiles() * tiles());
  if (at >= all_chunks()) {
    return;
  }
  let c = chunk_at(at);
  if (c.last) {
    return;
  }
  let a0 = index / tiles() % tiles() * 64u;
  let b0 = index % tiles() * 64u;
  var sums = array<vec4<f32>, 4>();
  for (var first = 0u; first < 64u; first += kStripDeep) {
    for (var n = lane; n < 1024u; n += 256u) {
      let t = first + n / 64u;
      let to = n / 64u * kStripPitch + n % 64u;
      strip_a[to] = rate(c, kWrite, t) * k_of(c, t, a0 + n % 64u);
      strip_b[to] = v_of(c, t, b0 + n % 64u) - ruling(at + 1u, c.row, b0 + n % 64u);
    }
    workgroupBarrier();
    add_strip(lane, &sums);
    workgroupBarrier();
  }
  for (var n = 0u; n < 16u; n++) {
    let a = a0 + lane / 16u + n / 4u * 16u;
    let b = b0 + lane % 16u + n % 4u * 16u;
    if (a < call.d && b < call.d) {
      memories_out[((at + 1u) * (call.d + 2u) + a) * call.d + b] = sums[n / 4u][n % 4u];
    }
  }
}

// Σ_j write[j] k[j] of a chunk, 64 channels of it.
@compute @workgroup_size(64)
fn add_sums(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  let at = index / tiles();
  let a = index % tiles() * 64u + lane;
  if (at >= all_chunks() || a >= call.d) {
    return;
  }
  let c = chunk_at(at);
  var sum = 0.0;
  for (var t = 0u; t < c.tokens; t++) {
    sum += rate(c, kWrite, t) * k_of(c, t, a);
  }
  added[at * call.d + a] = sum;
}

// The memory from chunk to chunk, one invocation a number of it: of the matrix about r, of n, or of r.
@compute @workgroup_size(64)
fn scan(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let size = (call.d + 2u) * call.d;
  let index = flat(group, groups) * 64u + lane;
  if (index >= call.batch * call.H * size) {
    return;
  }
  let row = index / size;
  let line = index % size / call.d;
  let channel = index % call.d;
  let key = select(channel, line, line < call.d); // the channel of n that goes with the number
  var memory = 0.0;
  var sum = 0.0; // n
  for (var at = row * chunk_count(); at < (row + 1u) * chunk_count(); at++) {
    let to = at * size + index % size;
    if (at > row * chunk_count()) {
      let before = held[(at - 1u) * kHeld + kBefore] + held[(at - 1u) * kHeld + kFaded];
      let keep = faded(before - held[at * kHeld + kBefore]);
      if (line < call.d) {
        let moved = ruling(at - 1u, row, channel) - ruling(at, row, channel);
        memory = keep * (memory + sum * moved) + memories_out[to];
      }
      sum = keep * sum + added[(at - 1u) * call.d + key];
    }
    if (line < call.d) {
      memories_out[to] = memory;
    } else if (line == call.d) {
      memories_out[to] = sum;
    } else {
      memories_out[to] = ruling(at, row, channel);
    }
    if (index % size == 0u) {
      stabilisers_out[at] = held[at * kHeld + kBefore];
    }
  }
}

// q·n of a token, one workgroup each.
@compute @workgroup_size(64)
fn sizes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  let t = index % 64u;
  if (index / 64u >= all_chunks()) {
    return;
  }
  let c = chunk_at(index / 64u);
  if (t >= c.tokens) {
    return;
  }
  var sum = 0.0;
  for (var a = lane; a < call.d; a += 64u) {
    sum += q_of(c, t, a) * memories_out[(c.at * (call.d + 2u) + call.d) * call.d + a];
  }
  let own = rate(c, kRecall, t) * sum64(lane, sum);
  let size = own + sum64(lane, pairs[index * 64u + lane]);
  if (lane == 0u) {
    size_out[token_at(c.row, c.t0 + t)] = size;
    rates[c.at * kRates + kOwn + t] = own;
    rates[c.at * kRates + kUnit + t] = 1.0 / (max(abs(size), lowest(rate(c, kM, t))) + call.eps);
  }
}

// y of a chunk, 64 channels of it.
@compute @workgroup_size(256)
fn outputs(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  let at = index / tiles();
  if (at >= all_chunks()) {
    return;
  }
  let c = chunk_at(at);
  let b0 = index % tiles() * 64u;
  let memory = at * (call.d + 2u) * call.d;
  var sums = array<vec4<f32>, 4>();
  for (var first = 0u; first < 64u; first += kStripDeep) {
    for (var n = lane; n < 1024u; n += 256u) {
      strip_a[n % kStripDeep * kStripPitch + n / kStripDeep] = pairs[(at * 64u + n / kStripDeep) * 64u + first + n % kStripDeep];
      strip_b[n / 64u * kStripPitch + n % 64u] = v_of(c, first + n / 64u, b0 + n % 64u);
    }
    workgroupBarrier();
    add_strip(lane, &sums);
    workgroupBarrier();
  }
  for (var first = 0u; first < select(call.d, 0u, c.t0 == 0u); first += kStripDeep) {
    for (var n = lane; n < 1024u; n += 256u) {
      strip_a[n % kStripDeep * kStripPitch + n / kStripDeep] = rate(c, kRecall, n / kStripDeep) * q_of(c, n / kStripDeep, first + n % kStripDeep);
      let a = first + n / 64u;
      let b = b0 + n % 64u;
      var number = 0.0;
      if (a < call.d && b < call.d) {
        number = memories_out[memory + a * call.d + b];
      }
      strip_b[n / 64u * kStripPitch + n % 64u] = number;
    }
    workgroupBarrier();
    add_strip(lane, &sums);
    workgroupBarrier();
  }
  for (var n = 0u; n < 16u; n++) {
    let t = lane / 16u + n / 4u * 16u;
    let b = b0 + lane % 16u + n % 4u * 16u;
    if (inside(c, t, b)) {
      let r = memories_out[memory + (call.d + 1u) * call.d + b];
      y_out[channel_at(c, t, b)] = (sums[n / 4u][n % 4u] + rate(c, kOwn, t) * r) * rate(c, kUnit, t);
    }
  }
}
