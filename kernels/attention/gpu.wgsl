// Attention in tiles of 32 queries by 32 keys with an online softmax; the gradient rebuilds each tile from the saved log-sum-exp. Softmax, latent and
// differential attention share it: what they differ in lies in `Call`, in what the plans of gpu.ts bind, and in the passes of the files beside this.
//
// Queries and keys are turned into scratch memory first, the queries scaled. A workgroup of 16 x 16 lanes then works on a tile: lane (ty, tx) has
// rows ty and ty + 16, columns tx and tx + 16 of the scores, and of each of its rows the channels tx + 16 i of up to 128 that it sums into.
// Wider heads take more workgroups, each with its own 128 channels. Every sum has one owner and a fixed order.

struct Call {
  present: u32,
  B: u32,
  T: u32, // queries
  S: u32, // keys
  H: u32, // heads of queries, those of all maps
  Hk: u32, // heads of keys, likewise
  d: u32, // width of queries and keys
  e: u32, // width of values
  causal: u32,
  strict: u32,
  window: u32, // 0: none
  turning: u32, // channels that turn: the last ones
  alibi: u32,
  sunk: u32, // there are sinks
  maps: u32, // heads in a row that read the same values
  pitch: u32, // numbers of a row of v, of which the last e are the value
  own: u32, // channels of a key that latent attention keeps a head
  scale: f32,
  cap: f32, // 0: none
  epsilon: f32, // of differential attention's norm
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> given: array<f32>; // rows to turn, [B, T, H, d] or [B, S, Hk, d]
@group(0) @binding(2) var<storage, read_write> made: array<f32>;
@group(0) @binding(3) var<storage, read> cos: array<f32>; // [at least S, turning / 2]
@group(0) @binding(4) var<storage, read> sin: array<f32>;
@group(0) @binding(5) var<storage, read> qs: array<f32>; // scale · q, turned: [B, T, H, d], as dqs
@group(0) @binding(6) var<storage, read> ks: array<f32>; // k, turned: [B, S, Hk, d], as dks
@group(0) @binding(7) var<storage, read> v: array<f32>; // [B, S, Hk / maps, pitch], as dv
@group(0) @binding(8) var<storage, read> sinks: array<f32>; // [H], as dsinks
@group(0) @binding(9) var<storage, read> o: array<f32>; // [B, T, H, e], as do
@group(0) @binding(10) var<storage, read> do_in: array<f32>;
@group(0) @binding(11) var<storage, read> lse: array<f32>; // [B, H, T], as delta
@group(0) @binding(12) var<storage, read> delta: array<f32>; // Σ do · o of each query
@group(0) @binding(13) var<storage, read_write> o_out: array<f32>;
@group(0) @binding(14) var<storage, read_write> lse_out: array<f32>;
@group(0) @binding(15) var<storage, read_write> delta_out: array<f32>;
@group(0) @binding(16) var<storage, read_write> dqs: array<f32>; // gradients of scale · q and k, turned
@group(0) @binding(17) var<storage, read_write> dks: array<f32>;
@group(0) @binding(18) var<storage, read_write> dv: array<f32>;
@group(0) @binding(19) var<storage, read_write> dsinks: array<f32>;

const kTile = 32u;
const kPitch = 33u; // of a row in workgroup memory: neighbours in a column fall into different banks
const kRight = 1056u; // where the second of two tiles begins
const kWidth = 128u; // channels that a workgroup sums into
const kLowest = -3.0e38;
const kLog2e = 1.4426950408889634;

var<workgroup> tiles: array<f32, 2112>; // two of [token, channel]
var<workgroup> shares: array<f32, 1056>; // [query, key]

fn query_at(b: u32, t: u32, h: u32) -> u32 {
  return (b * call.T + t) * call.H + h;
}
fn key_at(b: u32, s: u32, g: u32) -> u32 {
  return (b * call.S + s) * call.Hk + g;
}
// The first number of the value that goes with key head g.
fn value_at(b: u32, s: u32, g: u32) -> u32 {
  return key_at(b, s, g) / call.maps * call.pitch + call.pitch - call.e;
}
fn key_head(h: u32) -> u32 {
  return h / call.maps * call.Hk / call.H * call.maps + h % call.maps;
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

override keys: u32 = 0u; // keys are turned, rather than queries
override back: u32 = 0u; // gradients are turned back: the partner's share changes its sign

@compute @workgroup_size(256)
fn turn_rows(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  let heads = select(call.H, call.Hk, keys != 0u);
  let tokens = select(call.T, call.S, keys != 0u);
  if (i >= call.B * tokens * heads * call.d) {
    return;
  }
  var u = given[i];
  let c = i % call.d;
  if (turns(c)) {
    let by = turn(i / (call.d * heads) % tokens + call.S - tokens, c);
    u = u * by.x + given[partner(i, c)] * select(by.y, -by.y, back != 0u);
  }
  made[i] = select(u * call.scale, u, keys != 0u);
}

// A row of the batch, a query head and the key head that it reads.
struct Heads {
  b: u32,
  h: u32,
  g: u32,
}

const kQueries = 0u;
const kSlopes = 1u;
const kKeys = 2u;
const kValues = 3u;

// Channel c of token t of what `kind` says; 0 beyond the edges.
fn number(kind: u32, at: Heads, t: u32, c: u32) -> f32 {
  let inside = t < select(call.S, call.T, kind < kKeys) && c < select(call.e, call.d, kind % 2u == 0u);
  if (!inside) {
    return 0.0;
  }
  switch kind {
    case kQueries: { return qs[query_at(at.b, t, at.h) * call.d + c]; }
    case kSlopes: { return do_in[query_at(at.b, t, at.h) * call.e + c]; }
    case kKeys: { return ks[key_at(at.b, t, at.g) * call.d + c]; }
    default: { return v[value_at(at.b, t, at.g) + c]; }
  }
}
// Tokens t0 .. t0 + 31, channels c0 .. c0 + 31 into workgroup memory from `to` on.
fn load(lane: u32, kind: u32, at: Heads, t0: u32, c0: u32, to: u32) {
  for (var i = lane; i < 1024u; i += 256u) {
    tiles[to + i / 32u * kPitch + i % 32u] = number(kind, at, t0 + i / 32u, c0 + i % 32u);
  }
}

// Products of what `kind` says of the queries from t0 with what goes with it of the keys from s0, over `width` channels. The lane's four:
// (ty, tx), (ty, tx + 16), (ty + 16, tx), (ty + 16, tx + 16).
fn products(lane: u32, kind: u32, width: u32, at: Heads, t0: u32, s0: u32) -> vec4<f32> {
  let row = lane / 16u * kPitch;
  let column = kRight + lane % 16u * kPitch;
  var sum = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < width; c0 += 32u) {
    load(lane, kind, at, t0, c0, 0u);
    load(lane, kind + 2u, at, s0, c0, kRight);
    workgroupBarrier();
    for (var c = 0u; c < 32u; c++) {
      let a = vec2<f32>(tiles[row + c], tiles[row + 16u * kPitch + c]);
      let z = vec2<f32>(tiles[column + c], tiles[column + 16u * kPitch + c]);
      sum += a.xxyy * z.xyxy;
    }
    workgroupBarrier();
  }
  return sum;
}
// Scores of the tile, scaled; not yet masked.
fn scores(lane: u32, at: Heads, t0: u32, s0: u32) -> vec4<f32> {
  return products(lane, kQueries, call.d, at, t0, s0);
}
// Gradient of the shares: do · v.
fn share_slopes(lane: u32, at: Heads, t0: u32, s0: u32) -> vec4<f32> {
  return products(lane, kSlopes, call.e, at, t0, s0);
}

alias Sums = array<vec2<f32>, 8>; // rows ty and ty + 16, channels tx + 16 i from a first one on

// Adds what the lane's rows of `shares` take of the tokens from t0, channels c0 and on. `row` and `step`: from a row of shares to the next, and
// from a token.
fn add_shared(lane: u32, kind: u32, width: u32, at: Heads, t0: u32, base: u32, row: u32, step: u32, sums: ptr<function, Sums>) {
  let tx = lane % 16u;
  for (var i = 0u; i < 4u; i++) {
    let c0 = base + i * 32u;
    if (c0 < width) {
      load(lane, kind, at, t0, c0, 0u);
      workgroupBarrier();
      var from_row = lane / 16u * row;
      var near = vec2<f32>(0.0);
      var far = vec2<f32>(0.0);
      for (var s = 0u; s < kTile; s++) {
        let share = vec2<f32>(shares[from_row], shares[from_row + 16u * row]);
        near += share * tiles[s * kPitch + tx];
        far += share * tiles[s * kPitch + tx + 16u];
        from_row += step;
      }
      (*sums)[2u * i] += near;
      (*sums)[2u * i + 1u] += far;
      workgroupBarrier();
    }
  }
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
  at: Heads,
  t0: u32,
  c0: u32,
  past: bool,
}
fn query_task(index: u32, width: u32) -> Task {
  let across = ceil_div(call.T, kTile);
  let blocks = ceil_div(width, kWidth);
  let h = index / blocks / across % call.H;
  return Task(
    Heads(index / blocks / across / call.H, h, key_head(h)),
    index / blocks % across * kTile,
    index % blocks * kWidth,
    index >= call.B * call.H * across * blocks,
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
  let h = task.at.h;
  var sums: Sums;
  var most = vec2<f32>(kLowest);
  var total = vec2<f32>(0.0);
  if (call.sunk != 0u) {
    most = vec2<f32>(sinks[h] * kLog2e);
    total = vec2<f32>(1.0);
  }
  for (var s0 = first_key(task.t0); s0 < past_keys(task.t0); s0 += kTile) {
    let z = exponents(scores(lane, task.at, task.t0, s0), lane, h, task.t0, s0);
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
    add_shared(lane, kValues, call.e, task.at, s0, task.c0, kPitch, 1u, &sums);
  }
  for (var r = 0u; r < 2u; r++) {
    let t = task.t0 + ty + 16u * r;
    if (t < call.T) {
      for (var i = 0u; i < 8u; i++) {
        let c = task.c0 + tx + 16u * i;
        if (c < call.e) {
          o_out[query_at(task.at.b, t, h) * call.e + c] = select(sums[i][r] / total[r], 0.0, total[r] == 0.0);
        }
      }
      if (tx == 0u && task.c0 == 0u) {
        lse_out[(task.at.b * call.H + h) * call.T + t] = select(most[r] + log2(total[r]), 0.0, total[r] == 0.0);
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
  delta_out[row] = sum;
}

// What the gradient knows of a query: its log-sum-exp and delta.
fn known(at: Heads, t: u32) -> vec2<f32> {
  if (t >= call.T) {
    return vec2<f32>(0.0);
  }
  let row = (at.b * call.H + at.h) * call.T + t;
  return vec2<f32>(lse[row], delta[row]);
}

// Whether the queries from t0 see keys of one tile alone. Then delta is made of their shares anew, Σ p (do · v) / Σ p, so that slopes cancel in a row as
// they should: from Σ do · o it differs by rounding. With sinks a row's shares do not add up to 1.
fn whole(t0: u32) -> bool {
  return call.sunk == 0u && past_keys(t0) <= first_key(t0) + kTile;
}
// Sums of the lane's two rows of a tile.
fn row_sums(lane: u32, z: vec4<f32>) -> vec2<f32> {
  keep(lane, z);
  workgroupBarrier();
  let row = lane / 16u * kPitch;
  var sum = vec2<f32>(0.0);
  for (var s = 0u; s < kTile; s++) {
    sum += vec2<f32>(shares[row + s], shares[row + 16u * kPitch + s]);
  }
  workgroupBarrier();
  return sum;
}

// Shares of a tile and gradients of its scores, rebuilt.
struct Rebuilt {
  share: vec4<f32>,
  pull: vec4<f32>,
}
fn rebuilt(lane: u32, at: Heads, t0: u32, s0: u32) -> Rebuilt {
  let score = scores(lane, at, t0, s0);
  let z = exponents(score, lane, at.h, t0, s0);
  let slope = share_slopes(lane, at, t0, s0);
  let first = known(at, t0 + lane / 16u);
  let second = known(at, t0 + lane / 16u + 16u);
  let open = exp2(min(z - vec4<f32>(first.xx, second.xx), vec4<f32>(0.0)));
  let share = select(vec4<f32>(0.0), open, mask(lane, t0, s0));
  var along = vec2<f32>(first.y, second.y);
  if (whole(t0)) {
    let sum = row_sums(lane, share);
    along = row_sums(lane, share * slope) / max(sum, vec2<f32>(1.0e-30)); // a row may see nothing
  }
  return Rebuilt(share, share * (slope - along.xxyy) * gains(score));
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
  var sums: Sums;
  for (var s0 = first_key(task.t0); s0 < past_keys(task.t0); s0 += kTile) {
    keep(lane, rebuilt(lane, task.at, task.t0, s0).pull);
    workgroupBarrier();
    add_shared(lane, kKeys, call.d, task.at, s0, task.c0, kPitch, 1u, &sums);
  }
  for (var r = 0u; r < 2u; r++) {
    let t = task.t0 + lane / 16u + 16u * r;
    if (t < call.T) {
      for (var i = 0u; i < 8u; i++) {
        let c = task.c0 + lane % 16u + 16u * i;
        if (c < call.d) {
          dqs[query_at(task.at.b, t, task.at.h) * call.d + c] = sums[i][r];
        }
      }
    }
  }
}

// One workgroup a tile of keys of the heads that share a value, over all queries of the heads that read them. Rows ty and ty + 16 are keys here.
@compute @workgroup_size(256)
fn backward_keys(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let across = ceil_div(call.S, kTile);
  let blocks = ceil_div(max(call.d, call.e), kWidth);
  let heads = call.Hk / call.maps;
  let index = flat(group, groups);
  if (index >= call.B * heads * across * blocks) {
    return;
  }
  let base = index % blocks * kWidth;
  let s0 = index / blocks % across * kTile;
  let head = index / blocks / across % heads;
  let b = index / blocks / across / heads;
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
  var value_sums: Sums;
  var key_sums: Sums;
  for (var map = 0u; map < call.maps; map++) {
    let g = head * call.maps + map;
    key_sums = Sums(); // not declared here: SwiftShader does not zero a loop's variable anew
    for (var i = 0u; i < each; i++) {
      let at = Heads(b, (head * each + i) * call.maps + map, g);
      for (var t0 = begin; t0 < past; t0 += kTile) {
        let tile = rebuilt(lane, at, t0, s0);
        keep(lane, tile.share);
        workgroupBarrier();
        add_shared(lane, kSlopes, call.e, at, t0, base, 1u, kPitch, &value_sums);
        keep(lane, tile.pull);
        workgroupBarrier();
        add_shared(lane, kQueries, call.d, at, t0, base, 1u, kPitch, &key_sums);
      }
    }
    for (var r = 0u; r < 2u; r++) {
      let s = s0 + lane / 16u + 16u * r;
      for (var i = 0u; i < 8u; i++) {
        let c = base + lane % 16u + 16u * i;
        if (s < call.S && c < call.d) {
          dks[key_at(b, s, g) * call.d + c] = key_sums[i][r];
        }
      }
    }
  }
  for (var r = 0u; r < 2u; r++) {
    let s = s0 + lane / 16u + 16u * r;
    for (var i = 0u; i < 8u; i++) {
      let c = base + lane % 16u + 16u * i;
      if (s < call.S && c < call.e) {
        dv[value_at(b, s, head * call.maps) + c] = value_sums[i][r];
      }
    }
  }
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
