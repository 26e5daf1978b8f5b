// RWKV-7's delta rule S = S diag(e^w) + (S a) bᵀ + v kᵀ, y = S r, and its gradient. Lanes own rows of S; S lies transposed, so that neighbours
// touch neighbours.

struct Wkv7 {
  present: u32,
  rows: u32, // batch times heads
  tokens: u32,
  n: u32,
}
@group(0) @binding(0) var<uniform> shape: Wkv7;
@group(0) @binding(1) var<storage, read> r: array<f32>; // [rows, tokens, n], as all but the states
@group(0) @binding(2) var<storage, read> w_log: array<f32>;
@group(0) @binding(3) var<storage, read> k: array<f32>;
@group(0) @binding(4) var<storage, read> v: array<f32>;
@group(0) @binding(5) var<storage, read> a: array<f32>;
@group(0) @binding(6) var<storage, read> b: array<f32>;
@group(0) @binding(7) var<storage, read> dy: array<f32>;
@group(0) @binding(8) var<storage, read> states_in: array<f32>; // [rows, segments, n, n] by value and key channel
@group(0) @binding(9) var<storage, read_write> y: array<f32>;
@group(0) @binding(10) var<storage, read_write> states_out: array<f32>;
@group(0) @binding(11) var<storage, read_write> dr: array<f32>;
@group(0) @binding(12) var<storage, read_write> dw_log: array<f32>;
@group(0) @binding(13) var<storage, read_write> dk: array<f32>;
@group(0) @binding(14) var<storage, read_write> dv: array<f32>;
@group(0) @binding(15) var<storage, read_write> da: array<f32>;
@group(0) @binding(16) var<storage, read_write> db: array<f32>;
// Forward: a, b, then a state a row. Gradient: a, b, dy, r, w, k, v, then dr, dw, dk, dv, da, db.
@group(0) @binding(17) var<storage, read_write> pack: array<f32>;
@group(0) @binding(18) var<storage, read_write> memory: array<f32>;

const kSegment = 16u;

fn all() -> u32 {
  return shape.rows * shape.tokens * shape.n;
}

@compute @workgroup_size(64)
fn pack_directions(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 64u + lane;
  if (i < all()) {
    pack[i] = a[i];
    pack[all() + i] = b[i];
  }
}

@compute @workgroup_size(64)
fn forward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 64u + lane;
  let n = shape.n;
  if (i >= shape.rows * n) {
    return;
  }
  let row = i / n;
  let own = i % n;
  let state = 2u * all() + row * n * n + own; // number j of the lane's row at + j n
  for (var j = 0u; j < n; j++) {
    pack[state + j * n] = 0.0;
  }
  for (var t = 0u; t < shape.tokens; t++) {
    let at = (row * shape.tokens + t) * n;
    var taken = 0.0;
    for (var j = 0u; j < n; j++) {
      taken += pack[state + j * n] * pack[at + j];
    }
    if (t % kSegment == 0u) {
      let to = ((row * ceil_div(shape.tokens, kSegment) + t / kSegment) * n + own) * n;
      for (var j = 0u; j < n; j++) {
        states_out[to + j] = pack[state + j * n];
      }
    }
    var sum = 0.0;
    for (var j = 0u; j < n; j++) {
      let s = pack[state + j * n] * exp(w_log[at + j]) + taken * pack[all() + at + j] + v[at + own] * k[at + j];
      pack[state + j * n] = s;
      sum += s * r[at + j];
    }
    y[at + own] = sum;
  }
}

@compute @workgroup_size(64)
fn pack_slopes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 64u + lane;
  if (i < all()) {
    pack[i] = a[i];
    pack[all() + i] = b[i];
    pack[2u * all() + i] = dy[i];
  }
}

@compute @workgroup_size(64)
fn pack_rest(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 64u + lane;
  if (i < all()) {
    pack[3u * all() + i] = r[i];
    pack[4u * all() + i] = w_log[i];
    pack[5u * all() + i] = k[i];
    pack[6u * all() + i] = v[i];
  }
}

// A workgroup a row.
@compute @workgroup_size(64)
fn backward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups);
  if (row >= shape.rows) {
    return;
  }
  let n = shape.n;
  let count = all();
  let states = row * (18u * n * n + 2u * n); // before the segment and after each of its tokens
  let slopes = states + 17u * n * n;
  let taken = slopes + n * n;
  let pulls = taken + n;
  for (var own = lane; own < n; own += 64u) {
    for (var j = 0u; j < n; j++) {
      memory[slopes + j * n + own] = 0.0;
    }
  }
  let segments = ceil_div(shape.tokens, kSegment);
  for (var segment = segments; segment > 0u; segment--) {
    let first = (segment - 1u) * kSegment;
    let end = min(shape.tokens, first + kSegment);
    for (var own = lane; own < n; own += 64u) {
      for (var j = 0u; j < n; j++) {
        memory[states + j * n + own] = states_in[((row * segments + segment - 1u) * n + own) * n + j];
      }
      for (var t = first; t < end; t++) {
        let at = (row * shape.tokens + t) * n;
        let before = states + (t - first) * n * n + own;
        let after = before + n * n;
        var read = 0.0;
        for (var j = 0u; j < n; j++) {
          read += memory[before + j * n] * pack[at + j];
        }
        let written = pack[6u * count + at + own];
        for (var j = 0u; j < n; j++) {
          memory[after + j * n] = memory[before + j * n] * exp(pack[4u * count + at + j])
            + read * pack[count + at + j] + written * pack[5u * count + at + j];
        }
      }
    }
    for (var t = end; t > first; t--) {
      let at = (row * shape.tokens + t - 1u) * n;
      let after = states + (t - first) * n * n;
      let before = after - n * n;
      for (var own = lane; own < n; own += 64u) {
        let asked = pack[2u * count + at + own];
        var read = 0.0;
        var pull = 0.0;
        var sum = 0.0;
        for (var j = 0u; j < n; j++) {
          let slope = memory[slopes + j * n + own] + asked * pack[3u * count + at + j];
          memory[slopes + j * n + own] = slope;
          read += memory[before + j * n + own] * pack[at + j];
          pull += slope * pack[count + at + j];
          sum += slope * pack[5u * count + at + j];
        }
        memory[taken + own] = read;
        memory[pulls + own] = pull;
        pack[10u * count + at + own] = sum;
      }
      storageBarrier();
      for (var j = lane; j < n; j += 64u) {
        var of_r = 0.0;
        var of_w = 0.0;
        var of_k = 0.0;
        var of_a = 0.0;
        var of_b = 0.0;
        for (var own = 0u; own < n; own++) {
          let slope = memory[slopes + j * n + own];
          let was = memory[before + j * n + own];
          of_r += memory[after + j * n + own] * pack[2u * count + at + own];
          of_w += slope * was;
          of_k += slope * pack[6u * count + at + own];
          of_a += memory[pulls + own] * was;
          of_b += slope * memory[taken + own];
        }
        pack[7u * count + at + j] = of_r;
        pack[8u * count + at + j] = of_w * exp(pack[4u * count + at + j]);
        pack[9u * count + at + j] = of_k;
        pack[11u * count + at + j] = of_a;
        pack[12u * count + at + j] = of_b;
      }
      storageBarrier();
      for (var own = lane; own < n; own += 64u) {
        let pull = memory[pulls + own];
        for (var j = 0u; j < n; j++) {
          let s = slopes + j * n + own;
          memory[s] = memory[s] * exp(pack[4u * count + at + j]) + pull * pack[at + j];
        }
      }
    }
  }
}

@compute @workgroup_size(64)
fn unpack(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 64u + lane;
  let count = all();
  if (i < count) {
    dr[i] = pack[7u * count + i];
    dw_log[i] = pack[8u * count + i];
    dk[i] = pack[9u * count + i];
    dv[i] = pack[10u * count + i];
    da[i] = pack[11u * count + i];
    db[i] = pack[12u * count + i];
  }
}
