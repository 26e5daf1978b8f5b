// The state-space-dual scan in chunks of 64 tokens, forward and gradient, as derived in the Mamba-2 paper (arXiv 2405.21060, section 6).
//
// Within a chunk, with a[k] = dt[k] A:
//   y[l] = Σ_{s<=l} W[l][s] x[s] + reach[l] S0 C[l] + D x[l],   W[l][s] = (C[l]·B[s]) exp(Σ_{s<k<=l} a[k]) dt[s],   reach[l] = exp(Σ_{k<=l} a[k])
//   S0 of the next chunk = total S0 + Σ_s tail[s] dt[s] x[s] B[s]ᵀ,   tail[s] = exp(Σ_{k>s} a[k]),   total = exp(Σ a[k])
// Each exponent is summed over its own tokens, never as a difference of longer sums, so strong decay costs no digits. States lie [N, P].
//
// A workgroup of 16 x 16 lanes works on tiles of 32 x 32: lane (ty, tx) has rows ty and ty + 16, columns tx and tx + 16 of each, and sums into the
// same columns of up to four tiles side by side, 128 channels. Wider heads and states go round again. Every sum has one owner and a fixed order.
// Arrays in loops begin with a value of their own: without one SwiftShader clears them once a call, not once a round.
// The gradient's passes are in gpu_gradient.wgsl, of one module with these.

override adjoint: u32 = 0u;

struct Call {
  present: u32, // bits 5 and 6: D, initialState
  batch: u32,
  T: u32,
  H: u32,
  P: u32,
  G: u32,
  N: u32,
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [batch, T, H, P], as y, dy and dx
@group(0) @binding(2) var<storage, read> dt: array<f32>; // [batch, T, H], as ddt
@group(0) @binding(3) var<storage, read> A: array<f32>; // [H], as D, dA and dD
@group(0) @binding(4) var<storage, read> B: array<f32>; // [batch, T, G, N], as C, dB and dC
@group(0) @binding(5) var<storage, read> C: array<f32>;
@group(0) @binding(6) var<storage, read> D: array<f32>;
@group(0) @binding(7) var<storage, read> initialState: array<f32>; // [batch, H, P, N], as finalState and their gradients
@group(0) @binding(8) var<storage, read> chunkStates: array<f32>; // [batch, H, chunks, N, P], as outers and leaving
@group(0) @binding(9) var<storage, read> dy: array<f32>;
@group(0) @binding(10) var<storage, read> dfinalState: array<f32>;
@group(0) @binding(11) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<storage, read_write> finalState: array<f32>;
@group(0) @binding(13) var<storage, read_write> chunkStates_out: array<f32>;
@group(0) @binding(14) var<storage, read_write> rates: array<f32>; // [batch, H, chunks, kRates]
@group(0) @binding(15) var<storage, read_write> outers: array<f32>; // what a chunk adds to the state, or to its gradient
@group(0) @binding(16) var<storage, read_write> leaving: array<f32>; // gradient of the state that leaves each chunk
@group(0) @binding(17) var<storage, read_write> through: array<f32>; // [batch, H, chunks, kThrough]
@group(0) @binding(18) var<storage, read_write> parts: array<f32>; // [batch, H, chunks, 2], shares of dA and dD
@group(0) @binding(19) var<storage, read_write> dx: array<f32>;
@group(0) @binding(20) var<storage, read_write> ddt: array<f32>;
@group(0) @binding(21) var<storage, read_write> dA: array<f32>;
@group(0) @binding(22) var<storage, read_write> dB: array<f32>;
@group(0) @binding(23) var<storage, read_write> dC: array<f32>;
@group(0) @binding(24) var<storage, read_write> dD: array<f32>;
@group(0) @binding(25) var<storage, read_write> dinitialState: array<f32>;

const kPitch = 33u; // of a row in workgroup memory: neighbours in a column fall into different banks
const kWidth = 128u; // channels that a lane row sums into at once

// What `rates` holds of a chunk, 64 of each but the last three. near: Σ a over l < k <= 31 for the first 32 tokens, over 32 <= k <= l for the others.
const kDt = 64u;
const kReach = 128u;
const kTail = 192u;
const kNear = 256u;
const kD = 320u;
const kTotal = 321u;
const kA = 322u;
const kRates = 323u;

// What `through` holds: 64 times tail · x·(dS B), 64 times reach · C·(S0 dy), and total · dS·S0.
const kRead = 64u;
const kKept = 128u;
const kThrough = 129u;

var<workgroup> left: array<f32, 1056>;
var<workgroup> right: array<f32, 1056>;
var<workgroup> shares: array<f32, 1056>;

// A chunk of one head; `at` counts chunks over batch and heads.
struct Chunk {
  b: u32,
  h: u32,
  g: u32,
  t0: u32,
  at: u32,
}
fn chunk_count() -> u32 {
  return ceil_div(call.T, 64u);
}
fn head_chunk(at: u32) -> Chunk {
  let h = at / chunk_count() % call.H;
  return Chunk(at / chunk_count() / call.H, h, h * call.G / call.H, at % chunk_count() * 64u, at);
}
// The chunk of head h, where `at` counts chunks over batch and groups.
fn group_chunk(at: u32, h: u32) -> Chunk {
  let b = at / chunk_count() / call.G;
  let chunk = at % chunk_count();
  return Chunk(b, h, h * call.G / call.H, chunk * 64u, (b * call.H + h) * chunk_count() + chunk);
}

fn step_at(c: Chunk, l: u32) -> u32 {
  return (c.b * call.T + c.t0 + l) * call.H + c.h;
}
fn map_at(c: Chunk, l: u32) -> u32 {
  return (c.b * call.T + c.t0 + l) * call.G + c.g;
}
fn inside(c: Chunk, l: u32) -> bool {
  return c.t0 + l < call.T;
}
fn x_of(c: Chunk, l: u32, p: u32) -> f32 {
  if (inside(c, l) && p < call.P) {
    return x[step_at(c, l) * call.P + p];
  }
  return 0.0;
}
fn dy_of(c: Chunk, l: u32, p: u32) -> f32 {
  if (inside(c, l) && p < call.P) {
    return dy[step_at(c, l) * call.P + p];
  }
  return 0.0;
}
fn B_of(c: Chunk, l: u32, n: u32) -> f32 {
  if (inside(c, l) && n < call.N) {
    return B[map_at(c, l) * call.N + n];
  }
  return 0.0;
}
fn C_of(c: Chunk, l: u32, n: u32) -> f32 {
  if (inside(c, l) && n < call.N) {
    return C[map_at(c, l) * call.N + n];
  }
  return 0.0;
}
fn entering_of(c: Chunk, n: u32, p: u32) -> f32 {
  if (n < call.N && p < call.P) {
    return chunkStates[(c.at * call.N + n) * call.P + p];
  }
  return 0.0;
}
fn entering_out_of(c: Chunk, n: u32, p: u32) -> f32 {
  if (n < call.N && p < call.P) {
    return chunkStates_out[(c.at * call.N + n) * call.P + p];
  }
  return 0.0;
}
fn leaving_of(c: Chunk, n: u32, p: u32) -> f32 {
  if (n < call.N && p < call.P) {
    return leaving[(c.at * call.N + n) * call.P + p];
  }
  return 0.0;
}
fn rate(c: Chunk, at: u32) -> f32 {
  return rates[c.at * kRates + at];
}

// exp(Σ a[k] over s < k <= l), 0 where s > l.
fn decay(c: Chunk, l: u32, s: u32) -> f32 {
  if (s > l) {
    return 0.0;
  }
  var sum = 0.0;
  if (l >= 32u && s < 32u) {
    sum = rate(c, kNear + l) + rate(c, kNear + s);
  } else {
    for (var k = s + 1u; k <= l; k++) {
      sum += rate(c, k);
    }
  }
  return exp(sum);
}
// Of the lane's four pairs, rows l and l + 16, columns s and s + 16.
fn decays(c: Chunk, l: u32, s: u32) -> vec4<f32> {
  return vec4<f32>(decay(c, l, s), decay(c, l, s + 16u), decay(c, l + 16u, s), decay(c, l + 16u, s + 16u));
}
fn steps_of(c: Chunk, s: u32) -> vec4<f32> {
  return vec2<f32>(rate(c, kDt + s), rate(c, kDt + s + 16u)).xyxy;
}
// D where a token meets itself.
fn skip(c: Chunk, l: u32, s: u32) -> vec4<f32> {
  return select(vec4<f32>(0.0), vec4<f32>(rate(c, kD), 0.0, 0.0, rate(c, kD)), l == s);
}

// The lane's four dot products of rows of left and right: (ty, tx), (ty, tx + 16), (ty + 16, tx), (ty + 16, tx + 16).
fn dots(lane: u32) -> vec4<f32> {
  let row = lane / 16u * kPitch;
  let other = lane % 16u * kPitch;
  var sum = vec4<f32>(0.0);
  for (var c = 0u; c < 32u; c++) {
    let a = vec2<f32>(left[row + c], left[row + 16u * kPitch + c]);
    let z = vec2<f32>(right[other + c], right[other + 16u * kPitch + c]);
    sum += a.xxyy * z.xyxy;
  }
  return sum;
}
// Σ_k shares[row][k] right[k][column] of the same four.
fn product(lane: u32) -> vec4<f32> {
  let row = lane / 16u * kPitch;
  let column = lane % 16u;
  var sum = vec4<f32>(0.0);
  for (var k = 0u; k < 32u; k++) {
    let a = vec2<f32>(shares[row + k], shares[row + 16u * kPitch + k]);
    let z = vec2<f32>(right[k * kPitch + column], right[k * kPitch + column + 16u]);
    sum += a.xxyy * z.xyxy;
  }
  return sum;
}
// Σ_k shares[k][row] right[k][column].
fn product_across(lane: u32) -> vec4<f32> {
  let row = lane / 16u;
  let column = lane % 16u;
  var sum = vec4<f32>(0.0);
  for (var k = 0u; k < 32u; k++) {
    let a = vec2<f32>(shares[k * kPitch + row], shares[k * kPitch + row + 16u]);
    let z = vec2<f32>(right[k * kPitch + column], right[k * kPitch + column + 16u]);
    sum += a.xxyy * z.xyxy;
  }
  return sum;
}
fn keep(lane: u32, z: vec4<f32>) {
  let at = lane / 16u * kPitch + lane % 16u;
  shares[at] = z.x;
  shares[at + 16u] = z.y;
  shares[at + 16u * kPitch] = z.z;
  shares[at + 16u * kPitch + 16u] = z.w;
}
fn place(i: u32) -> u32 {
  return i / 32u * kPitch + i % 32u;
}

// C[l]·B[s] for tokens l from row tile l0 and s from s0.
fn grams(lane: u32, c: Chunk, l0: u32, s0: u32) -> vec4<f32> {
  var z = vec4<f32>(0.0);
  for (var n0 = 0u; n0 < call.N; n0 += 32u) {
    for (var i = lane; i < 1024u; i += 256u) {
      left[place(i)] = C_of(c, l0 + i / 32u, n0 + i % 32u);
      right[place(i)] = B_of(c, s0 + i / 32u, n0 + i % 32u);
    }
    workgroupBarrier();
    z += dots(lane);
    workgroupBarrier();
  }
  return z;
}
// dy[l]·x[s].
fn weight_slopes(lane: u32, c: Chunk, l0: u32, s0: u32) -> vec4<f32> {
  var z = vec4<f32>(0.0);
  for (var p0 = 0u; p0 < call.P; p0 += 32u) {
    for (var i = lane; i < 1024u; i += 256u) {
      left[place(i)] = dy_of(c, l0 + i / 32u, p0 + i % 32u);
      right[place(i)] = x_of(c, s0 + i / 32u, p0 + i % 32u);
    }
    workgroupBarrier();
    z += dots(lane);
    workgroupBarrier();
  }
  return z;
}

// `rates` of one chunk of one head, one lane a token.
@compute @workgroup_size(64)
fn prepare(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let at = flat(group, groups);
  if (at >= call.batch * call.H * chunk_count()) {
    return;
  }
  let c = head_chunk(at);
  var step = 0.0;
  if (inside(c, lane)) {
    step = dt[step_at(c, lane)];
  }
  lanes[lane] = step * A[c.h];
  workgroupBarrier();
  var before = 0.0;
  var near = 0.0;
  for (var k = 0u; k <= lane; k++) {
    before += lanes[k];
    if (k >= 32u) {
      near += lanes[k];
    }
  }
  var after = 0.0;
  for (var k = lane + 1u; k < 64u; k++) {
    after += lanes[k];
    if (k < 32u) {
      near += lanes[k];
    }
  }
  let base = at * kRates;
  rates[base + lane] = lanes[lane];
  rates[base + kDt + lane] = step;
  rates[base + kReach + lane] = exp(before);
  rates[base + kTail + lane] = exp(after);
  rates[base + kNear + lane] = near;
  if (lane == 63u) {
    var factor = 0.0;
    if ((call.present & 32u) != 0u) {
      factor = D[c.h];
    }
    rates[base + kD] = factor;
    rates[base + kTotal] = exp(before);
    rates[base + kA] = A[c.h];
  }
}

// Σ_s tail dt B[s] x[s]ᵀ, or for the gradient Σ_l reach C[l] dy[l]ᵀ: one workgroup 32 rows of the state and up to 128 channels.
@compute @workgroup_size(256)
fn outer(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let across = ceil_div(call.P, kWidth);
  let down = ceil_div(call.N, 32u);
  let index = flat(group, groups);
  if (index >= call.batch * call.H * chunk_count() * down * across) {
    return;
  }
  let c = head_chunk(index / across / down);
  let n0 = index / across % down * 32u;
  let p0 = index % across * kWidth;
  var sums = array<vec4<f32>, 4>();
  for (var s0 = 0u; s0 < 64u; s0 += 32u) {
    for (var i = lane; i < 1024u; i += 256u) {
      let s = s0 + i / 32u;
      if (adjoint == 0u) {
        shares[place(i)] = rate(c, kTail + s) * rate(c, kDt + s) * B_of(c, s, n0 + i % 32u);
      } else {
        shares[place(i)] = rate(c, kReach + s) * C_of(c, s, n0 + i % 32u);
      }
    }
    for (var q = 0u; q < 4u; q++) {
      if (p0 + 32u * q < call.P) {
        for (var i = lane; i < 1024u; i += 256u) {
          let s = s0 + i / 32u;
          let p = p0 + 32u * q + i % 32u;
          if (adjoint == 0u) {
            right[place(i)] = x_of(c, s, p);
          } else {
            right[place(i)] = dy_of(c, s, p);
          }
        }
        workgroupBarrier();
        sums[q] += product_across(lane);
        workgroupBarrier();
      }
    }
    workgroupBarrier();
  }
  for (var q = 0u; q < 4u; q++) {
    for (var e = 0u; e < 4u; e++) {
      let n = n0 + lane / 16u + 16u * (e / 2u);
      let p = p0 + 32u * q + lane % 16u + 16u * (e % 2u);
      if (n < call.N && p < call.P) {
        outers[(c.at * call.N + n) * call.P + p] = sums[q][e];
      }
    }
  }
}

// The state from chunk to chunk, one invocation a number of it.
@compute @workgroup_size(64)
fn scan(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let size = call.N * call.P;
  let i = flat(group, groups) * 64u + lane;
  if (i >= call.batch * call.H * size) {
    return;
  }
  let row = i / size;
  let n = i % size / call.P;
  let p = i % call.P;
  let turned = (row * call.P + p) * call.N + n;
  var state = 0.0;
  if ((call.present & 64u) != 0u) {
    state = initialState[turned];
  }
  for (var at = row * chunk_count(); at < (row + 1u) * chunk_count(); at++) {
    chunkStates_out[at * size + i % size] = state;
    state = rates[at * kRates + kTotal] * state + outers[at * size + i % size];
  }
  finalState[turned] = state;
}

// y of 32 tokens.
@compute @workgroup_size(256)
fn mix(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  if (index >= call.batch * call.H * chunk_count() * 2u) {
    return;
  }
  let c = head_chunk(index / 2u);
  let l0 = index % 2u * 32u;
  let l = l0 + lane / 16u;
  for (var p0 = 0u; p0 < call.P; p0 += kWidth) {
    var sums = array<vec4<f32>, 4>();
    for (var s0 = 0u; s0 <= l0; s0 += 32u) {
      let s = s0 + lane % 16u;
      let gram = grams(lane, c, l0, s0);
      keep(lane, gram * decays(c, l, s) * steps_of(c, s) + skip(c, l, s));
      for (var q = 0u; q < 4u; q++) {
        if (p0 + 32u * q < call.P) {
          for (var i = lane; i < 1024u; i += 256u) {
            right[place(i)] = x_of(c, s0 + i / 32u, p0 + 32u * q + i % 32u);
          }
          workgroupBarrier();
          sums[q] += product(lane);
          workgroupBarrier();
        }
      }
    }
    for (var n0 = 0u; n0 < call.N; n0 += 32u) {
      for (var i = lane; i < 1024u; i += 256u) {
        shares[place(i)] = rate(c, kReach + l0 + i / 32u) * C_of(c, l0 + i / 32u, n0 + i % 32u);
      }
      for (var q = 0u; q < 4u; q++) {
        if (p0 + 32u * q < call.P) {
          for (var i = lane; i < 1024u; i += 256u) {
            right[place(i)] = entering_out_of(c, n0 + i / 32u, p0 + 32u * q + i % 32u);
          }
          workgroupBarrier();
          sums[q] += product(lane);
          workgroupBarrier();
        }
      }
    }
    for (var q = 0u; q < 4u; q++) {
      for (var e = 0u; e < 4u; e++) {
        let own = l + 16u * (e / 2u);
        let p = p0 + 32u * q + lane % 16u + 16u * (e % 2u);
        if (inside(c, own) && p < call.P) {
          y[step_at(c, own) * call.P + p] = sums[q][e];
        }
      }
    }
  }
}
