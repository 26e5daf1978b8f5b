// Attention of one token over a cache: a workgroup for each head and stretch of tokens, then one for each head that joins its stretches, each with a
// greatest score of its own.

struct Call {
  present: u32, // bit 3: qs, 5: slopes, 6: sinks, 7: length
  B: u32,
  H: u32,
  G: u32, // groups of keys
  Gv: u32, // groups of values
  key_room: u32, // tokens that the caches have room for
  value_room: u32,
  shared_room: u32,
  a: u32, // channels of a query
  width: u32, // channels of a key, of which the first a count
  e: u32,
  r: u32, // channels of the shared part
  scale: f32,
  cap: f32, // 0: none
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> q: array<f32>; // [B, H, a]
@group(0) @binding(2) var<storage, read> k: array<f32>; // [B, G, key_room, width]
@group(0) @binding(3) var<storage, read> v: array<f32>; // [B, Gv, value_room, e]
@group(0) @binding(4) var<storage, read> qs: array<f32>; // [B, H, r] or absent
@group(0) @binding(5) var<storage, read> ks: array<f32>; // [B, shared_room, r] or absent
@group(0) @binding(6) var<storage, read> slopes: array<f32>; // [H] or absent
@group(0) @binding(7) var<storage, read> sinks: array<f32>; // [H] or absent
@group(0) @binding(8) var<storage, read> length_in: array<i32>; // [1] or absent
@group(0) @binding(9) var<storage, read_write> partial: array<f32>; // [B, H, stretches, e + 2]: greatest score, sum, sums of values
@group(0) @binding(10) var<storage, read_write> o: array<f32>; // [B, H, e]

const kStretch = 128u; // tokens of a stretch
const kLowest = -3.0e38;

var<workgroup> shares: array<f32, 128>;

// Tokens that count.
fn tokens() -> u32 {
  if ((call.present & 128u) == 0u) {
    return call.value_room;
  }
  return u32(clamp(length_in[0], 0, i32(call.value_room)));
}
fn score(b: u32, h: u32, s: u32) -> f32 {
  let query = (b * call.H + h) * call.a;
  let key = ((b * call.G + h * call.G / call.H) * call.key_room + s) * call.width;
  var sum = 0.0;
  for (var c = 0u; c < call.a; c++) {
    sum += q[query + c] * k[key + c];
  }
  for (var c = 0u; c < call.r; c++) {
    sum += qs[(b * call.H + h) * call.r + c] * ks[(b * call.shared_room + s) * call.r + c];
  }
  var z = call.scale * sum;
  if (call.cap > 0.0) {
    z = call.cap * tanh(clamp(z / call.cap, -15.0, 15.0));
  }
  if ((call.present & 32u) != 0u) {
    z -= slopes[h] * f32(tokens() - 1u - s);
  }
  return z;
}

@compute @workgroup_size(64)
fn stretch(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let stretches = ceil_div(call.value_room, kStretch);
  let index = flat(group, groups);
  let row = index / stretches; // b H + h
  let b = row / call.H;
  let h = row % call.H;
  let first = index % stretches * kStretch;
  // Those past the tokens that count have nothing to do but wait with the others: how many do is no constant.
  let here = select(0u, min(tokens(), first + kStretch) - first, b < call.B && first < tokens());
  var scores = vec2<f32>(kLowest);
  for (var i = 0u; i < 2u; i++) {
    if (lane + 64u * i < here) {
      scores[i] = score(b, h, first + lane + 64u * i);
    }
  }
  let most = max64(lane, max(scores.x, scores.y));
  var sum = 0.0;
  for (var i = 0u; i < 2u; i++) {
    let share = select(0.0, exp(scores[i] - most), lane + 64u * i < here);
    shares[lane + 64u * i] = share;
    sum += share;
  }
  sum = sum64(lane, sum); // its barriers stand between the shares and those who read them
  if (here == 0u) {
    return;
  }
  let to = index * (call.e + 2u);
  let values = ((b * call.Gv + h * call.Gv / call.H) * call.value_room + first) * call.e;
  for (var c = lane; c < call.e; c += 64u) {
    var read = 0.0;
    for (var s = 0u; s < here; s++) {
      read += shares[s] * v[values + s * call.e + c];
    }
    partial[to + 2u + c] = read;
  }
  if (lane == 0u) {
    partial[to] = most;
    partial[to + 1u] = sum;
  }
}

// One workgroup a head.
@compute @workgroup_size(64)
fn join(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups);
  if (row >= call.B * call.H) {
    return;
  }
  let size = call.e + 2u;
  let first = row * ceil_div(call.value_room, kStretch) * size;
  let past = first + ceil_div(tokens(), kStretch) * size;
  var most = kLowest;
  var total = 0.0;
  if ((call.present & 64u) != 0u) {
    most = sinks[row % call.H];
    total = 1.0;
  }
  let sink = most;
  for (var at = first; at < past; at += size) {
    most = max(most, partial[at]);
  }
  total *= exp(sink - most);
  for (var at = first; at < past; at += size) {
    total += partial[at + 1u] * exp(partial[at] - most);
  }
  for (var c = lane; c < call.e; c += 64u) {
    var read = 0.0;
    for (var at = first; at < past; at += size) {
      read += partial[at + 2u + c] * exp(partial[at] - most);
    }
    o[row * call.e + c] = read / total;
  }
}
