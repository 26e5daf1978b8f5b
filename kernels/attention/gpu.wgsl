// Softmax attention in tiles of 32 queries by 32 keys with an online softmax; the gradient rebuilds each tile from the saved log-sum-exp.
//
// Queries and keys are turned into scratch memory first, the queries scaled. A workgroup of 16 x 16 lanes then works on a tile: lane (ty, tx) has
// rows ty and ty + 16, columns tx and tx + 16 of the scores, and of each of its rows the channels tx + 16 i of up to 128 that it sums into.
// Wider heads take more workgroups, each with its own 128 channels. Every sum has one owner and a fixed order.

struct Call {
  present: u32,
  B: u32,
  T: u32, // queries
  S: u32, // keys
  H: u32,
  Hk: u32,
  d: u32, // width of queries and keys
  e: u32, // width of values
  causal: u32,
  strict: u32,
  window: u32, // 0: none
  turning: u32, // channels that turn: the last ones
  alibi: u32,
  sunk: u32, // there are sinks
  scale: f32,
  cap: f32, // 0: none
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> q: array<f32>; // [B, T, H, d], as dq and their turned forms
@group(0) @binding(2) var<storage, read> k: array<f32>; // [B, S, Hk, d], as dk and their turned forms
@group(0) @binding(3) var<storage, read> v: array<f32>; // [B, S, Hk, e], as dv
@group(0) @binding(4) var<storage, read> cos: array<f32>; // [at least S, d/2]
@group(0) @binding(5) var<storage, read> sin: array<f32>;
@group(0) @binding(6) var<storage, read> o: array<f32>; // [B, T, H, e]
@group(0) @binding(7) var<storage, read> lse: array<f32>; // [B, H, T], as delta
@group(0) @binding(8) var<storage, read> do_in: array<f32>; // like o
@group(0) @binding(9) var<storage, read_write> o_out: array<f32>;
@group(0) @binding(10) var<storage, read_write> lse_out: array<f32>;
@group(0) @binding(11) var<storage, read_write> qs: array<f32>; // scale · q, turned
@group(0) @binding(12) var<storage, read_write> ks: array<f32>; // k, turned
@group(0) @binding(13) var<storage, read_write> delta: array<f32>; // Σ do · o of each query
@group(0) @binding(14) var<storage, read_write> dqs: array<f32>; // gradients of scale · q and k, turned
@group(0) @binding(15) var<storage, read_write> dks: array<f32>;
@group(0) @binding(16) var<storage, read_write> dq: array<f32>;
@group(0) @binding(17) var<storage, read_write> dk: array<f32>;
@group(0) @binding(18) var<storage, read_write> dv: array<f32>;
@group(0) @binding(19) var<storage, read> sinks: array<f32>; // [H], as dsinks
@group(0) @binding(20) var<storage, read_write> dsinks: array<f32>;

const kTile = 32u;
const kPitch = 33u; // of a row in workgroup memory: neighbours in a column fall into different banks
const kWidth = 128u; // channels that a workgroup sums into
const kLowest = -3.0e38;
const kLog2e = 1.4426950408889634;

var<workgroup> left: array<f32, 1056>; // [tile, channel]
var<workgroup> right: array<f32, 1056>;
var<workgroup> shares: array<f32, 1056>; // [query, key]

fn query_at(b: u32, t: u32, h: u32) -> u32 {
  return (b * call.T + t) * call.H + h;
}
fn key_at(b: u32, s: u32, g: u32) -> u32 {
  return (b * call.S + s) * call.Hk + g;
}
// The place of query t among the keys.
fn place(t: u32) -> i32 {
  return i32(t + call.S) - i32(call.T);
}
fn sees(t: u32, s: u32) -> bool {
  let ahead = i32(s) + i32(call.strict) - place(t); // 0: the last key that a causal query sees
  let within = call.window == 0u || (ahead > -i32(call.window) && ahead < i32(call.window));
  return t < call.T && s < call.S && (call.causal == 0u || ahead <= 0) && within;
}

fn turns(c: u32) -> bool {
  return c >= call.d - call.turning;
}
// What channel c of a row turns by: cos in x, sin with the sign of the partner's share in y. The partner is half of what turns away.
fn turn(row: u32, c: u32) -> vec2<f32> {
  let half = call.turning / 2u;
  let i = c + call.turning - call.d;
  let at = row * half + i % half;
  return vec2<f32>(cos[at], select(sin[at], -sin[at], i < half));
}
fn partner(i: u32, c: u32) -> u32 {
  let half = call.turning / 2u;
  return select(i - half, i + half, c + call.turning - call.d < half);
}

@compute @workgroup_size(256)
fn turn_queries(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= call.B * call.T * call.H * call.d) {
    return;
  }
  var u = q[i];
  let c = i % call.d;
  if (turns(c)) {
    let by = turn(i / (call.d * call.H) % call.T + call.S - call.T, c);
    u = u * by.x + q[partner(i, c)] * by.y;
  }
  qs[i] = u * call.scale;
}

@compute @workgroup_size(256)
fn turn_keys(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= call.B * call.S * call.Hk * call.d) {
    return;
  }
  var u = k[i];
  let c = i % call.d;
  if (turns(c)) {
    let by = turn(i / (call.d * call.Hk) % call.S, c);
    u = u * by.x + k[partner(i, c)] * by.y;
  }
  ks[i] = u;
}

// Queries t0.. and keys s0.. into left and right, channels c0 .. c0 + 31; zeros beyond the edges.
fn load_queries(lane: u32, b: u32, t0: u32, h: u32, c0: u32) {
  for (var i = lane; i < 1024u; i += 256u) {
    let t = t0 + i / 32u;
    let c = c0 + i % 32u;
    var u = 0.0;
    if (t < call.T && c < call.d) {
      u = qs[query_at(b, t, h) * call.d + c];
    }
    left[i / 32u * kPitch + i % 32u] = u;
  }
}
fn load_keys(lane: u32, b: u32, s0: u32, g: u32, c0: u32) {
  for (var i = lane; i < 1024u; i += 256u) {
    let s = s0 + i / 32u;
    let c = c0 + i % 32u;
    var u = 0.0;
    if (s < call.S && c < call.d) {
      u = ks[key_at(b, s, g) * call.d + c];
    }
    right[i / 32u * kPitch + i % 32u] = u;
  }
}
fn load_slopes(lane: u32, b: u32, t0: u32, h: u32, c0: u32) {
  for (var i = lane; i < 1024u; i += 256u) {
    let t = t0 + i / 32u;
    let c = c0 + i % 32u;
    var u = 0.0;
    if (t < call.T && c < call.e) {
      u = do_in[query_at(b, t, h) * call.e + c];
    }
    left[i / 32u * kPitch + i % 32u] = u;
  }
}
fn load_values(lane: u32, b: u32, s0: u32, g: u32, c0: u32) {
  for (var i = lane; i < 1024u; i += 256u) {
    let s = s0 + i / 32u;
    let c = c0 + i % 32u;
    var u = 0.0;
    if (s < call.S && c < call.e) {
      u = v[key_at(b, s, g) * call.e + c];
    }
    right[i / 32u * kPitch + i % 32u] = u;
  }
}

// The lane's four dot products of rows of left and right: (ty, tx), (ty, tx + 16), (ty + 16, tx), (ty + 16, tx + 16).
fn dots(ty: u32, tx: u32) -> vec4<f32> {
  var sum = vec4<f32>(0.0);
  for (var c = 0u; c < 32u; c++) {
    let a = vec2<f32>(left[ty * kPitch + c], left[(ty + 16u) * kPitch + c]);
    let z = vec2<f32>(right[tx * kPitch + c], right[(tx + 16u) * kPitch + c]);
    sum += a.xxyy * z.xyxy;
  }
  return sum;
}

// Scores of the tile, scaled; not yet masked.
fn scores(lane: u32, b: u32, h: u32, g: u32, t0: u32, s0: u32) -> vec4<f32> {
  var z = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < call.d; c0 += 32u) {
    load_queries(lane, b, t0, h, c0);
    load_keys(lane, b, s0, g, c0);
    workgroupBarrier();
    z += dots(lane / 16u, lane % 16u);
    workgroupBarrier();
  }
  return z;
}

// Gradient of the shares: do · v.
fn share_slopes(lane: u32, b: u32, h: u32, g: u32, t0: u32, s0: u32) -> vec4<f32> {
  var z = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < call.e; c0 += 32u) {
    load_slopes(lane, b, t0, h, c0);
    load_values(lane, b, s0, g, c0);
    workgroupBarrier();
    z += dots(lane / 16u, lane % 16u);
    workgroupBarrier();
  }
  return z;
}

fn keep(lane: u32, z: vec4<f32>) {
  let at = lane / 16u * kPitch + lane % 16u;
  shares[at] = z.x;
  shares[at + 16u] = z.y;
  shares[at + 16u * kPitch] = z.z;
  shares[at + 16u * kPitch + 16u] = z.w;
}

// ALiBi's slope of head h.
fn fall(h: u32) -> f32 {
  if (call.alibi == 0u) {
    return 0.0;
  }
  let n = f32(1u << (31u - countLeadingZeros(call.H)));
  return select(exp2(-4.0 * (2.0 * (f32(h) - n) + 1.0) / n), exp2(-8.0 * f32(h + 1u) / n), f32(h) < n);
}
// How far apart query and key of the lane's four pairs stand.
fn distances(lane: u32, t0: u32, s0: u32) -> vec4<f32> {
  let d = f32(place(t0 + lane / 16u) - i32(s0 + lane % 16u));
  return abs(vec4<f32>(d, d - 16.0, d + 16.0, d));
}
// Scores bent by the cap; tanh of large numbers is made of numbers that stay finite.
fn bent(z: vec4<f32>) -> vec4<f32> {
  return tanh(clamp(z / call.cap, vec4<f32>(-15.0), vec4<f32>(15.0)));
}
// Scores to exponents to the base 2.
fn exponents(z: vec4<f32>, lane: u32, h: u32, t0: u32, s0: u32) -> vec4<f32> {
  var y = z;
  if (call.cap > 0.0) {
    y = call.cap * bent(z);
  }
  return (y - fall(h) * distances(lane, t0, s0)) * kLog2e;
}
// Slopes of the bent scores.
fn gains(z: vec4<f32>) -> vec4<f32> {
  if (call.cap == 0.0) {
    return vec4<f32>(1.0);
  }
  let y = bent(z);
  return 1.0 - y * y;
}

// Which of the lane's four pairs count.
fn mask(lane: u32, t0: u32, s0: u32) -> vec4<bool> {
  let t = t0 + lane / 16u;
  let s = s0 + lane % 16u;
  return vec4<bool>(sees(t, s), sees(t, s + 16u), sees(t + 16u, s), sees(t + 16u, s + 16u));
}

// The first key that the tile of queries from t0 may see, down to a tile's start, and the first past those that it sees.
fn first_key(t0: u32) -> u32 {
  if (call.window == 0u) {
    return 0u;
  }
  return u32(max(0, place(t0) - i32(call.window + call.strict) + 1)) / kTile * kTile;
}
fn past_keys(t0: u32) -> u32 {
  let last = place(t0) + i32(kTile) - 1;
  if (call.causal != 0u) {
    return u32(clamp(last + 1, 0, i32(call.S)));
  }
  if (call.window != 0u) {
    return u32(clamp(last + i32(call.window), 0, i32(call.S)));
  }
  return call.S;
}

// What a workgroup of the forward pass and of dq works on.
struct Task {
  b: u32,
  h: u32,
  g: u32,
  t0: u32,
  c0: u32,
  past: bool,
}
fn query_task(index: u32, width: u32) -> Task {
  let tiles = ceil_div(call.T, kTile);
  let blocks = ceil_div(width, kWidth);
  let h = index / blocks / tiles % call.H;
  return Task(
    index / blocks / tiles / call.H,
    h,
    h * call.Hk / call.H,
    index / blocks % tiles * kTile,
    index % blocks * kWidth,
    index >= call.B * call.H * tiles * blocks,
  );
}

@compute @workgroup_size(256)
fn forward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let task = query_task(flat(group, groups), call.e);
  if (task.past) {
    return;
  }
  let ty = lane / 16u;
  let tx = lane % 16u;
  var sums: array<vec2<f32>, 8>; // rows ty and ty + 16, channels c0 + tx + 16 i
  var most = vec2<f32>(kLowest);
  var total = vec2<f32>(0.0);
  if (call.sunk != 0u) {
    most = vec2<f32>(sinks[task.h] * kLog2e);
    total = vec2<f32>(1.0);
  }
  for (var s0 = first_key(task.t0); s0 < past_keys(task.t0); s0 += kTile) {
    let score = scores(lane, task.b, task.h, task.g, task.t0, s0);
    let z = exponents(score, lane, task.h, task.t0, s0);
    let seen = mask(lane, task.t0, s0);
    keep(lane, select(vec4<f32>(kLowest), z, seen));
    workgroupBarrier();
    var higher = most;
    for (var s = 0u; s < kTile; s++) {
      higher = max(higher, vec2<f32>(shares[ty * kPitch + s], shares[(ty + 16u) * kPitch + s]));
    }
    workgroupBarrier();
    keep(lane, select(vec4<f32>(0.0), exp2(min(z - higher.xxyy, vec4<f32>(0.0))), seen));
    let shrink = exp2(most - higher);
    most = higher;
    total *= shrink;
    for (var i = 0u; i < 8u; i++) {
      sums[i] *= shrink;
    }
    workgroupBarrier();
    for (var s = 0u; s < kTile; s++) {
      total += vec2<f32>(shares[ty * kPitch + s], shares[(ty + 16u) * kPitch + s]);
    }
    for (var i = 0u; i < 4u; i++) {
      let c0 = task.c0 + i * 32u;
      if (c0 < call.e) {
        load_values(lane, task.b, s0, task.g, c0);
        workgroupBarrier();
        var near = vec2<f32>(0.0);
        var far = vec2<f32>(0.0);
        for (var s = 0u; s < kTile; s++) {
          let share = vec2<f32>(shares[ty * kPitch + s], shares[(ty + 16u) * kPitch + s]);
          near += share * right[s * kPitch + tx];
          far += share * right[s * kPitch + tx + 16u];
        }
        sums[2u * i] += near;
        sums[2u * i + 1u] += far;
        workgroupBarrier();
      }
    }
  }
  for (var r = 0u; r < 2u; r++) {
    let t = task.t0 + ty + 16u * r;
    if (t < call.T) {
      for (var i = 0u; i < 8u; i++) {
        let c = task.c0 + tx + 16u * i;
        if (c < call.e) {
          o_out[query_at(task.b, t, task.h) * call.e + c] = select(sums[i][r] / total[r], 0.0, total[r] == 0.0);
        }
      }
      if (tx == 0u && task.c0 == 0u) {
        lse_out[(task.b * call.H + task.h) * call.T + t] = select(most[r] + log2(total[r]), 0.0, total[r] == 0.0);
      }
    }
  }
}

// delta = Σ do · o, one invocation a query.
@compute @workgroup_size(64)
fn deltas(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups) * 64u + lane;
  if (row >= call.B * call.H * call.T) {
    return;
  }
  let t = row % call.T;
  let h = row / call.T % call.H;
  let at = query_at(row / call.T / call.H, t, h) * call.e;
  var sum = 0.0;
  for (var c = 0u; c < call.e; c++) {
    sum += do_in[at + c] * o[at + c];
  }
  delta[row] = sum;
}

// What the gradient knows of a query: its log-sum-exp and delta.
fn known(b: u32, h: u32, t: u32) -> vec2<f32> {
  if (t >= call.T) {
    return vec2<f32>(0.0);
  }
  let row = (b * call.H + h) * call.T + t;
  return vec2<f32>(lse[row], delta[row]);
}

@compute @workgroup_size(256)
fn backward_queries(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let task = query_task(flat(group, groups), call.d);
  if (task.past) {
    return;
  }
  let ty = lane / 16u;
  let tx = lane % 16u;
  let first = known(task.b, task.h, task.t0 + ty);
  let second = known(task.b, task.h, task.t0 + ty + 16u);
  var sums: array<vec2<f32>, 8>;
  for (var s0 = first_key(task.t0); s0 < past_keys(task.t0); s0 += kTile) {
    let score = scores(lane, task.b, task.h, task.g, task.t0, s0);
    let z = exponents(score, lane, task.h, task.t0, s0);
    let slope = share_slopes(lane, task.b, task.h, task.g, task.t0, s0);
    let share = exp2(min(z - vec4<f32>(first.xx, second.xx), vec4<f32>(0.0)));
    let pull = share * (slope - vec4<f32>(first.yy, second.yy)) * gains(score);
    keep(lane, select(vec4<f32>(0.0), pull, mask(lane, task.t0, s0)));
    workgroupBarrier();
    for (var i = 0u; i < 4u; i++) {
      let c0 = task.c0 + i * 32u;
      if (c0 < call.d) {
        load_keys(lane, task.b, s0, task.g, c0);
        workgroupBarrier();
        var near = vec2<f32>(0.0);
        var far = vec2<f32>(0.0);
        for (var s = 0u; s < kTile; s++) {
          let p = vec2<f32>(shares[ty * kPitch + s], shares[(ty + 16u) * kPitch + s]);
          near += p * right[s * kPitch + tx];
          far += p * right[s * kPitch + tx + 16u];
        }
        sums[2u * i] += near;
        sums[2u * i + 1u] += far;
        workgroupBarrier();
      }
    }
  }
  for (var r = 0u; r < 2u; r++) {
    let t = task.t0 + ty + 16u * r;
    if (t < call.T) {
      for (var i = 0u; i < 8u; i++) {
        let c = task.c0 + tx + 16u * i;
        if (c < call.d) {
          dqs[query_at(task.b, t, task.h) * call.d + c] = sums[i][r];
        }
      }
    }
  }
}

// One workgroup a tile of keys of one key head, over all queries of the heads that read it. Rows ty and ty + 16 are keys here.
@compute @workgroup_size(256)
fn backward_keys(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let tiles = ceil_div(call.S, kTile);
  let blocks = ceil_div(max(call.d, call.e), kWidth);
  let index = flat(group, groups);
  if (index >= call.B * call.Hk * tiles * blocks) {
    return;
  }
  let base = index % blocks * kWidth;
  let s0 = index / blocks % tiles * kTile;
  let g = index / blocks / tiles % call.Hk;
  let b = index / blocks / tiles / call.Hk;
  let ty = lane / 16u;
  let tx = lane % 16u;
  var key_sums: array<vec2<f32>, 8>;
  var value_sums: array<vec2<f32>, 8>;
  let each = call.H / call.Hk;
  // The first query that sees any of these keys, down to a tile's start, and the first past those that do.
  var begin = 0u;
  if (call.causal != 0u && s0 + call.strict + call.T > call.S) {
    begin = (s0 + call.strict + call.T - call.S) / kTile * kTile;
  }
  var past = call.T;
  if (call.window != 0u) {
    let last = i32(s0 + kTile + call.window + call.strict + call.T) - i32(call.S) - 1;
    past = u32(clamp(last, 0, i32(call.T)));
    if (call.causal == 0u) {
      begin = u32(max(0, i32(s0 + call.T) - i32(call.S + call.window) + 1)) / kTile * kTile;
    }
  }
  for (var h = g * each; h < (g + 1u) * each; h++) {
    for (var t0 = begin; t0 < past; t0 += kTile) {
      let score = scores(lane, b, h, g, t0, s0);
      let z = exponents(score, lane, h, t0, s0);
      let slope = share_slopes(lane, b, h, g, t0, s0);
      let first = known(b, h, t0 + ty);
      let second = known(b, h, t0 + ty + 16u);
      let seen = mask(lane, t0, s0);
      let share = select(vec4<f32>(0.0), exp2(min(z - vec4<f32>(first.xx, second.xx), vec4<f32>(0.0))), seen);
      keep(lane, share);
      workgroupBarrier();
      for (var i = 0u; i < 4u; i++) {
        let c0 = base + i * 32u;
        if (c0 < call.e) {
          load_slopes(lane, b, t0, h, c0);
          workgroupBarrier();
          var near = vec2<f32>(0.0);
          var far = vec2<f32>(0.0);
          for (var t = 0u; t < kTile; t++) {
            let p = vec2<f32>(shares[t * kPitch + ty], shares[t * kPitch + ty + 16u]);
            near += p * left[t * kPitch + tx];
            far += p * left[t * kPitch + tx + 16u];
          }
          value_sums[2u * i] += near;
          value_sums[2u * i + 1u] += far;
          workgroupBarrier();
        }
      }
      workgroupBarrier();
      keep(lane, share * (slope - vec4<f32>(first.yy, second.yy)) * gains(score));
      workgroupBarrier();
      for (var i = 0u; i < 4u; i++) {
        let c0 = base + i * 32u;
        if (c0 < call.d) {
          load_queries(lane, b, t0, h, c0);
          workgroupBarrier();
          var near = vec2<f32>(0.0);
          var far = vec2<f32>(0.0);
          for (var t = 0u; t < kTile; t++) {
            let p = vec2<f32>(shares[t * kPitch + ty], shares[t * kPitch + ty + 16u]);
            near += p * left[t * kPitch + tx];
            far += p * left[t * kPitch + tx + 16u];
          }
          key_sums[2u * i] += near;
          key_sums[2u * i + 1u] += far;
          workgroupBarrier();
        }
      }
    }
  }
  for (var r = 0u; r < 2u; r++) {
    let s = s0 + ty + 16u * r;
    if (s < call.S) {
      for (var i = 0u; i < 8u; i++) {
        let c = base + tx + 16u * i;
        if (c < call.d) {
          dks[key_at(b, s, g) * call.d + c] = key_sums[i][r];
        }
        if (c < call.e) {
          dv[key_at(b, s, g) * call.e + c] = value_sums[i][r];
        }
      }
    }
  }
}

// Turns the gradients back: the partner's share changes its sign.
@compute @workgroup_size(256)
fn unturn_queries(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= call.B * call.T * call.H * call.d) {
    return;
  }
  var u = dqs[i];
  let c = i % call.d;
  if (turns(c)) {
    let by = turn(i / (call.d * call.H) % call.T + call.S - call.T, c);
    u = u * by.x - dqs[partner(i, c)] * by.y;
  }
  dq[i] = u * call.scale;
}

@compute @workgroup_size(256)
fn unturn_keys(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= call.B * call.S * call.Hk * call.d) {
    return;
  }
  var u = dks[i];
  let c = i % call.d;
  if (turns(c)) {
    let by = turn(i / (call.d * call.Hk) % call.S, c);
    u = u * by.x - dks[partner(i, c)] * by.y;
  }
  dk[i] = u;
}

// dsink = -Σ 2^(sink - lse) delta over rows and queries, one workgroup a head.
@compute @workgroup_size(64)
fn sink_slopes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let h = flat(group, groups);
  var sum = 0.0;
  if (call.sunk != 0u && h < call.H) {
    for (var i = lane; i < call.B * call.T; i += 64u) {
      let row = (i / call.T * call.H + h) * call.T + i % call.T;
      sum -= exp2(min(0.0, sinks[h] * kLog2e - lse[row])) * delta[row];
    }
  }
  let whole = sum64(lane, sum);
  if (lane == 0u && h < call.H) {
    dsinks[h] = whole;
  }
}
