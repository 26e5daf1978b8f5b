// The scalar memory of xLSTM and its gradient. A workgroup owns a head of a row; its lanes own channels and meet once a token.

struct Cell {
  present: u32,
  batch: u32,
  tokens: u32,
  heads: u32,
  d: u32,
}
@group(0) @binding(0) var<uniform> shape: Cell;
@group(0) @binding(1) var<storage, read> i: array<f32>; // [batch, tokens, heads d], as f, z, o and y
@group(0) @binding(2) var<storage, read> f: array<f32>;
@group(0) @binding(3) var<storage, read> z: array<f32>;
@group(0) @binding(4) var<storage, read> o: array<f32>;
@group(0) @binding(5) var<storage, read> r: array<f32>; // [4, heads, d, d] by gate, head, channel in and out
@group(0) @binding(6) var<storage, read> b: array<f32>; // [4, heads d]
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
@group(0) @binding(8) var<storage, read_write> kept: array<f32>; // [batch, tokens, 6, heads d]: see sizes.ts
@group(0) @binding(9) var<storage, read> y_in: array<f32>;
@group(0) @binding(10) var<storage, read> kept_in: array<f32>;
@group(0) @binding(11) var<storage, read> dy: array<f32>;
@group(0) @binding(12) var<storage, read_write> di: array<f32>;
@group(0) @binding(13) var<storage, read_write> df: array<f32>;
@group(0) @binding(14) var<storage, read_write> dz: array<f32>;
@group(0) @binding(15) var<storage, read_write> do_out: array<f32>;
@group(0) @binding(16) var<storage, read_write> dr: array<f32>;
@group(0) @binding(17) var<storage, read_write> db: array<f32>;

const kKept = 6u;
// Channels of a head at most: what goes from token to token lies in the workgroup's memory.
const kMost = 1024u;
var<workgroup> stabiliser: array<f32, kMost>;
var<workgroup> mean: array<f32, kMost>; // cell / normaliser
var<workgroup> weight_of: array<f32, kMost>; // normaliser
// On the way back the slopes of what a token gave the next: y, cell / normaliser, and the normaliser's logarithm.
var<workgroup> slope_y: array<f32, kMost>;
var<workgroup> slope_mean: array<f32, kMost>;
var<workgroup> slope_weight: array<f32, kMost>;

fn log_sigmoid(x: f32) -> f32 {
  return min(x, 0.0) - ln_1p(exp(-abs(x)));
}
fn width() -> u32 {
  return shape.heads * shape.d;
}
// Where the weight from the first channel to channel `channel` of a head lies; the next channel's is `d` further.
fn weight(gate: u32, head: u32, channel: u32) -> u32 {
  return (gate * shape.heads + head) * shape.d * shape.d + channel;
}

@compute @workgroup_size(64)
fn forward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let which = flat(group, groups);
  if (which >= shape.batch * shape.heads) {
    return;
  }
  let row = which / shape.heads;
  let head = which % shape.heads;
  for (var t = 0u; t < shape.tokens; t++) {
    let start = (row * shape.tokens + t) * width() + head * shape.d;
    for (var j = lane; j < shape.d; j += 64u) {
      let at = start + j;
      let channel = head * shape.d + j;
      var sums = vec4(
        i[at] + b[channel],
        f[at] + b[width() + channel],
        z[at] + b[2u * width() + channel],
        o[at] + b[3u * width() + channel],
      );
      let to = (row * shape.tokens + t) * kKept * width() + channel;
      if (t > 0u) {
        let last = start - width();
        for (var l = 0u; l < shape.d; l++) {
          let across = l * shape.d;
          sums += y[last + l] * vec4(
            r[weight(0u, head, j) + across],
            r[weight(1u, head, j) + across],
            r[weight(2u, head, j) + across],
            r[weight(3u, head, j) + across],
          );
        }
      } else {
        mean[j] = 0.0;
        weight_of[j] = 0.0;
      }
      let remembered = log_sigmoid(sums.y) + stabiliser[j];
      let m = select(sums.x, max(sums.x, remembered), t > 0u);
      stabiliser[j] = m;
      let write = exp(sums.x - m);
      let keep = select(0.0, exp(remembered - m), t > 0u);
      let past = keep * weight_of[j];
      let whole = past + write;
      let input = tangent(sums.z);
      let moved = write / whole * (input - mean[j]);
      weight_of[j] = whole;
      mean[j] += moved;
      y[at] = sigmoid(sums.w) * mean[j];
      kept[to] = write / whole;
      kept[to + width()] = past / whole;
      kept[to + 2u * width()] = sigmoid(-sums.y);
      kept[to + 3u * width()] = moved;
      kept[to + 4u * width()] = write / whole * (1.0 - input * input);
      kept[to + 5u * width()] = sums.w;
    }
    storageBarrier();
  }
}

@compute @workgroup_size(64)
fn backward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let which = flat(group, groups);
  if (which >= shape.batch * shape.heads) {
    return;
  }
  let row = which / shape.heads;
  let head = which % shape.heads;
  for (var j = lane; j < shape.d; j += 64u) {
    slope_y[j] = 0.0;
    slope_mean[j] = 0.0;
    slope_weight[j] = 0.0;
  }
  for (var t = shape.tokens; t > 0u; t--) {
    let start = (row * shape.tokens + t - 1u) * width() + head * shape.d;
    for (var j = lane; j < shape.d; j += 64u) {
      let at = start + j;
      let here = (row * shape.tokens + t - 1u) * kKept * width() + head * shape.d + j;
      let past = kept_in[here + width()];
      let moved = kept_in[here + 3u * width()];
      let gate = sigmoid(kept_in[here + 5u * width()]);
      let slope = slope_y[j] + dy[at];
      let of_mean = slope_mean[j] + slope * gate;
      let of_weight = slope_weight[j];
      let through = past * (of_weight - of_mean * moved);
      di[at] = of_weight * kept_in[here] + of_mean * past * moved;
      df[at] = through * kept_in[here + 2u * width()];
      dz[at] = of_mean * kept_in[here + 4u * width()];
      do_out[at] = slope * y_in[at] * (1.0 - gate);
      slope_mean[j] = of_mean * past;
      slope_weight[j] = through;
    }
    storageBarrier();
    for (var l = lane; l < shape.d; l += 64u) {
      var sum = 0.0;
      for (var j = 0u; j < shape.d; j++) {
        let across = l * shape.d;
        sum += di[start + j] * r[weight(0u, head, j) + across] + df[start + j] * r[weight(1u, head, j) + across]
          + dz[start + j] * r[weight(2u, head, j) + across] + do_out[start + j] * r[weight(3u, head, j) + across];
      }
      slope_y[l] = sum;
    }
  }
}

fn slope_of(gate: u32, at: u32) -> f32 {
  switch gate {
    case 0u: { return di[at]; }
    case 1u: { return df[at]; }
    case 2u: { return dz[at]; }
    default: { return do_out[at]; }
  }
}

@compute @workgroup_size(64)
fn recurrent_weights(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let n = flat(group, groups) * 64u + lane;
  let d = shape.d;
  if (n >= 4u * width() * d) {
    return;
  }
  let output = n % d;
  let input = n / d % d;
  let head = n / (d * d) % shape.heads;
  let gate = n / (d * d * shape.heads);
  var sum = 0.0;
  for (var row = 0u; row < shape.batch; row++) {
    for (var t = 1u; t < shape.tokens; t++) {
      let start = (row * shape.tokens + t) * width() + head * d;
      sum += y_in[start - width() + input] * slope_of(gate, start + output);
    }
  }
  dr[n] = sum;
}

@compute @workgroup_size(64)
fn biases(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let n = flat(group, groups) * 64u + lane;
  if (n >= 4u * width()) {
    return;
  }
  var sum = 0.0;
  for (var token = 0u; token < shape.batch * shape.tokens; token++) {
    sum += slope_of(n / width(), token * width() + n % width());
  }
  db[n] = sum;
}
