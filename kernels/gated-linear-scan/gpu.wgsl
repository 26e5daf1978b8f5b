// Gated linear attention S = diag(e^g) S + k vᵀ, o = Sᵀ q and its gradient. Lanes own a column (a value channel) or a row (a key channel) of a state.

struct Scan {
  present: u32,
  batch: u32,
  tokens: u32,
  heads: u32,
  d: u32,
  key_heads: u32,
  e: u32,
}
@group(0) @binding(0) var<uniform> shape: Scan;
@group(0) @binding(1) var<storage, read> q: array<f32>; // [batch, tokens, heads, d]
@group(0) @binding(2) var<storage, read> k: array<f32>; // [batch, tokens, key heads, d]
@group(0) @binding(3) var<storage, read> v: array<f32>; // [batch, tokens, key heads, e]
@group(0) @binding(4) var<storage, read> g: array<f32>; // as k
@group(0) @binding(5) var<storage, read> states_in: array<f32>; // [batch, key heads, segments, e, d]
@group(0) @binding(6) var<storage, read> do_in: array<f32>; // [batch, tokens, heads, e]
@group(0) @binding(7) var<storage, read_write> o: array<f32>;
@group(0) @binding(8) var<storage, read_write> states_out: array<f32>;
@group(0) @binding(9) var<storage, read_write> dq: array<f32>;
@group(0) @binding(10) var<storage, read_write> dk: array<f32>;
@group(0) @binding(11) var<storage, read_write> dv: array<f32>;
@group(0) @binding(12) var<storage, read_write> dg: array<f32>;
@group(0) @binding(13) var<storage, read_write> memory: array<f32>; // [.., batch, key heads, d, e]

const kSegment = 16u;

// One state of a row and key head, and the lane's channel in it.
struct Place {
  row: u32,
  head: u32,
  channel: u32,
  state: u32, // where it begins in memory
}
fn place(i: u32, channels: u32) -> Place {
  let which = i / channels;
  return Place(which / shape.key_heads, which % shape.key_heads, i % channels, which * shape.d * shape.e);
}
fn key_at(at: Place, t: u32) -> u32 {
  return ((at.row * shape.tokens + t) * shape.key_heads + at.head) * shape.d;
}
fn value_at(at: Place, t: u32) -> u32 {
  return ((at.row * shape.tokens + t) * shape.key_heads + at.head) * shape.e;
}
// Query heads read key heads in groups of equal size.
fn first_reader(at: Place, t: u32) -> u32 {
  return (at.row * shape.tokens + t) * shape.heads + at.head * readers();
}
fn readers() -> u32 {
  return shape.heads / shape.key_heads;
}
fn states() -> u32 {
  return shape.batch * shape.key_heads;
}

@compute @workgroup_size(64)
fn forward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 64u + lane;
  if (i >= states() * shape.e) {
    return;
  }
  let at = place(i, shape.e);
  let column = at.state + at.channel;
  for (var c = 0u; c < shape.d; c++) {
    memory[column + c * shape.e] = 0.0;
  }
  for (var t = 0u; t < shape.tokens; t++) {
    if (t % kSegment == 0u) {
      let segment = i / shape.e * ceil_div(shape.tokens, kSegment) + t / kSegment;
      for (var c = 0u; c < shape.d; c++) {
        states_out[(segment * shape.e + at.channel) * shape.d + c] = memory[column + c * shape.e];
      }
    }
    let keys_at = key_at(at, t);
    let write = v[value_at(at, t) + at.channel];
    for (var c = 0u; c < shape.d; c++) {
      let s = column + c * shape.e;
      memory[s] = exp(g[keys_at + c]) * memory[s] + k[keys_at + c] * write;
    }
    for (var h = 0u; h < readers(); h++) {
      let reader = first_reader(at, t) + h;
      var sum = 0.0;
      for (var c = 0u; c < shape.d; c++) {
        sum += q[reader * shape.d + c] * memory[column + c * shape.e];
      }
      o[reader * shape.e + at.channel] = sum;
    }
  }
}

// dq: rows of the states, from the first token on.
@compute @workgroup_size(64)
fn queries(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 64u + lane;
  if (i >= states() * shape.d) {
    return;
  }
  let at = place(i, shape.d);
  let line = at.state + at.channel * shape.e;
  for (var x = 0u; x < shape.e; x++) {
    memory[line + x] = 0.0;
  }
  for (var t = 0u; t < shape.tokens; t++) {
    let key = key_at(at, t) + at.channel;
    let keep = exp(g[key]);
    for (var x = 0u; x < shape.e; x++) {
      memory[line + x] = keep * memory[line + x] + k[key] * v[value_at(at, t) + x];
    }
    for (var h = 0u; h < readers(); h++) {
      let reader = first_reader(at, t) + h;
      var sum = 0.0;
      for (var x = 0u; x < shape.e; x++) {
        sum += memory[line + x] * do_in[reader * shape.e + x];
      }
      dq[reader * shape.d + at.channel] = sum;
    }
  }
}

// What the readers of token t ask of number (c, x) of the state after it.
fn asked(at: Place, t: u32, c: u32, x: u32) -> f32 {
  var sum = 0.0;
  for (var h = 0u; h < readers(); h++) {
    let reader = first_reader(at, t) + h;
    sum += q[reader * shape.d + c] * do_in[reader * shape.e + x];
  }
  return sum;
}

// dk: rows of the slopes, from the last token back.
@compute @workgroup_size(64)
fn keys(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 64u + lane;
  if (i >= states() * shape.d) {
    return;
  }
  let at = place(i, shape.d);
  let line = at.state + at.channel * shape.e;
  for (var x = 0u; x < shape.e; x++) {
    memory[line + x] = 0.0;
  }
  for (var t = shape.tokens; t > 0u; t--) {
    let key = key_at(at, t - 1u) + at.channel;
    let keep = exp(g[key]);
    var sum = 0.0;
    for (var x = 0u; x < shape.e; x++) {
      let slope = memory[line + x] + asked(at, t - 1u, at.channel, x);
      sum += slope * v[value_at(at, t - 1u) + x];
      memory[line + x] = slope * keep;
    }
    dk[key] = sum;
  }
}

// dv: columns of the slopes, from the last token back.
@compute @workgroup_size(64)
fn values(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 64u + lane;
  if (i >= states() * shape.e) {
    return;
  }
  let at = place(i, shape.e);
  let column = at.state + at.channel;
  for (var c = 0u; c < shape.d; c++) {
    memory[column + c * shape.e] = 0.0;
  }
  for (var t = shape.tokens; t > 0u; t--) {
    let keys_at = key_at(at, t - 1u);
    var sum = 0.0;
    for (var c = 0u; c < shape.d; c++) {
      let s = column + c * shape.e;
      let slope = memory[s] + asked(at, t - 1u, c, at.channel);
      sum += slope * k[keys_at + c];
      memory[s] = slope * exp(g[keys_at + c]);
    }
    dv[value_at(at, t - 1u) + at.channel] = sum;
  }
}

// dg: rows of the slopes and of the states before each token, which are computed again segment by segment.
@compute @workgroup_size(64)
fn decays(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 64u + lane;
  if (i >= states() * shape.d) {
    return;
  }
  let at = place(i, shape.d);
  let all = states() * shape.d * shape.e;
  let line = at.state + at.channel * shape.e;
  for (var x = 0u; x < shape.e; x++) {
    memory[line + x] = 0.0;
  }
  let segments = ceil_div(shape.tokens, kSegment);
  for (var segment = segments; segment > 0u; segment--) {
    let first = (segment - 1u) * kSegment;
    let end = min(shape.tokens, first + kSegment);
    let saved = (i / shape.d * segments + segment - 1u) * shape.e;
    for (var x = 0u; x < shape.e; x++) {
      memory[all + line + x] = states_in[(saved + x) * shape.d + at.channel];
    }
    for (var t = first; t + 1u < end; t++) {
      let key = key_at(at, t) + at.channel;
      let keep = exp(g[key]);
      let here = (1u + t - first) * all + line;
      for (var x = 0u; x < shape.e; x++) {
        memory[here + all + x] = keep * memory[here + x] + k[key] * v[value_at(at, t) + x];
      }
    }
    for (var t = end; t > first; t--) {
      let key = key_at(at, t - 1u) + at.channel;
      let keep = exp(g[key]);
      let before = (t - first) * all + line;
      var sum = 0.0;
      for (var x = 0u; x < shape.e; x++) {
        let slope = (memory[line + x] + asked(at, t - 1u, at.channel, x)) * keep;
        sum += slope * memory[before + x];
        memory[line + x] = slope;
      }
      dg[key] = sum;
    }
  }
}
