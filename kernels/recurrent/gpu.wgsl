// LSTM and GRU over all tokens and over one, and their gradients. A workgroup takes four rows, and each weight that it reads serves the four: those of a
// narrow state through all tokens, a lane a channel, of a wide one through the token of the round, kSlices lanes a channel. The other way round the
// weights lie transposed, so that neighbours read neighbours there too.

override net: u32 = 4u; // gates: 4 of LSTM, 3 of GRU

struct Call {
  present: u32, // bit 2 of GRU: bias
  batch: u32,
  tokens: u32,
  hidden: u32,
  round: u32, // of passes that take one token
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> gates: array<f32>; // [batch, tokens, net hidden], as dgates
@group(0) @binding(2) var<storage, read> w: array<f32>; // [hidden, net hidden], as dw
@group(0) @binding(3) var<storage, read> bias: array<f32>; // [net hidden] or absent, as dbias
@group(0) @binding(4) var<storage, read> h_in: array<f32>; // [batch, hidden], as c and the next of both
@group(0) @binding(5) var<storage, read> c_in: array<f32>;
@group(0) @binding(6) var<storage, read> y_in: array<f32>; // [batch, tokens, hidden], as dy
@group(0) @binding(7) var<storage, read> kept_in: array<f32>; // [batch, tokens, net + 1 or net, hidden]: see kernel.ts
@group(0) @binding(8) var<storage, read> dy_in: array<f32>;
@group(0) @binding(9) var<storage, read_write> y_out: array<f32>;
@group(0) @binding(10) var<storage, read_write> kept_out: array<f32>;
@group(0) @binding(11) var<storage, read_write> nextH: array<f32>;
@group(0) @binding(12) var<storage, read_write> nextC: array<f32>;
@group(0) @binding(13) var<storage, read_write> turned: array<f32>; // [net hidden, hidden]: w transposed
@group(0) @binding(14) var<storage, read_write> carried: array<f32>; // [batch, hidden]: slope of the cell (LSTM) or state (GRU) of the token before
@group(0) @binding(15) var<storage, read_write> dgates: array<f32>;
@group(0) @binding(16) var<storage, read_write> dw: array<f32>;
@group(0) @binding(17) var<storage, read_write> dbias: array<f32>;

const kRows = 4u;
const kChannels = 32u;
const kSlices = 8u;

const kNarrow = 64u;
var<workgroup> four: array<vec4<f32>, kNarrow>; // numbers of the four rows
var<workgroup> parts: array<vec4<f32>, kChannels * kSlices>;

fn width() -> u32 {
  return net * call.hidden;
}
fn kept_size() -> u32 {
  return select(5u, 4u, net == 3u);
}
// Where a token keeps its first number of a channel; the next one's is `hidden` further.
fn kept_at(token: u32, channel: u32) -> u32 {
  return token * kept_size() * call.hidden + channel;
}
fn bias_of(gate: u32, channel: u32) -> f32 {
  if (net == 3u && (call.present & 4u) != 0u) {
    return bias[gate * call.hidden + channel];
  }
  return 0.0;
}

// A channel of one token: what it keeps (i, f, g, o or r, z, n, share), its state and cell. `inputs` and `shares` are of the gates.
struct Token {
  kept: vec4<f32>,
  state: f32,
  cell: f32,
}
fn token_of(inputs: vec4<f32>, shares: vec4<f32>, state: f32, cell: f32) -> Token {
  let sums = inputs + shares;
  let first = sigmoid(sums.x);
  let second = sigmoid(sums.y);
  if (net == 3u) {
    let n = tangent(inputs.z + first * shares.z);
    return Token(vec4(first, second, n, shares.z), n + second * (state - n), 0.0);
  }
  let g = tangent(sums.z);
  let o = sigmoid(sums.w);
  let next = second * cell + first * g;
  return Token(vec4(first, second, g, o), o * tangent(next), next);
}
// The inputs' share of a channel's gates, of token `at` of all.
fn inputs_of(at: u32, channel: u32) -> vec4<f32> {
  let begin = at * width() + channel;
  var last = 0.0;
  if (net == 4u) {
    last = gates[begin + 3u * call.hidden];
  }
  return vec4(gates[begin], gates[begin + call.hidden], gates[begin + 2u * call.hidden], last);
}
// The weights from one channel to the gates of another.
fn weights_of(input: u32, channel: u32) -> vec4<f32> {
  let begin = input * width() + channel;
  var last = 0.0;
  if (net == 4u) {
    last = w[begin + 3u * call.hidden];
  }
  return vec4(w[begin], w[begin + call.hidden], w[begin + 2u * call.hidden], last);
}
fn biases_of(channel: u32) -> vec4<f32> {
  return vec4(bias_of(0u, channel), bias_of(1u, channel), bias_of(2u, channel), 0.0);
}

// The sum over the slices of a channel, on its first lane.
fn gathered(lane: u32, value: vec4<f32>) -> vec4<f32> {
  parts[lane] = value;
  workgroupBarrier();
  var sum = value;
  if (lane < kChannels) {
    for (var slice = 1u; slice < kSlices; slice++) {
      sum += parts[slice * kChannels + lane];
    }
  }
  workgroupBarrier();
  return sum;
}

// The states of four rows before token t, or 0.
fn states_before(row0: u32, t: u32, channel: u32) -> vec4<f32> {
  var states = vec4(0.0);
  for (var r = 0u; r < kRows && row0 + r < call.batch; r++) {
    states[r] = y_out[((row0 + r) * call.tokens + t - 1u) * call.hidden + channel];
  }
  return states;
}

// The state's share of each gate of a channel, of four rows: `gates[i][r]`.
struct Shares {
  gates: array<vec4<f32>, 4>,
}
fn add_share(shares: ptr<function, Shares>, input: u32, channel: u32, states: vec4<f32>) {
  let by = weights_of(input, channel);
  (*shares).gates[0] += by.x * states;
  (*shares).gates[1] += by.y * states;
  (*shares).gates[2] += by.z * states;
  (*shares).gates[3] += by.w * states;
}

// Token t of four rows, one channel.
fn write_token(row0: u32, t: u32, channel: u32, shares: Shares) {
  let plus = biases_of(channel);
  for (var r = 0u; r < kRows && row0 + r < call.batch; r++) {
    let at = (row0 + r) * call.tokens + t;
    var state = 0.0;
    var cell = 0.0;
    if (t > 0u) {
      state = y_out[(at - 1u) * call.hidden + channel];
      if (net == 4u) {
        cell = kept_out[kept_at(at - 1u, channel) + 4u * call.hidden];
      }
    }
    let share = vec4(shares.gates[0][r], shares.gates[1][r], shares.gates[2][r], shares.gates[3][r]);
    let token = token_of(inputs_of(at, channel), share + plus, state, cell);
    y_out[at * call.hidden + channel] = token.state;
    let to = kept_at(at, channel);
    for (var part = 0u; part < 4u; part++) {
      kept_out[to + part * call.hidden] = token.kept[part];
    }
    if (net == 4u) {
      kept_out[to + 4u * call.hidden] = token.cell;
    }
  }
}

@compute @workgroup_size(kNarrow)
fn forward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row0 = flat(group, groups) * kRows;
  if (row0 >= call.batch) {
    return;
  }
  for (var t = 0u; t < call.tokens; t++) {
    var shares = Shares();
    if (t > 0u) {
      if (lane < call.hidden) {
        four[lane] = states_before(row0, t, lane);
      }
      workgroupBarrier();
      if (lane < call.hidden) {
        for (var l = 0u; l < call.hidden; l++) {
          add_share(&shares, l, lane, four[l]);
        }
      }
    }
    if (lane < call.hidden) {
      write_token(row0, t, lane, shares);
    }
    workgroupBarrier();
    storageBarrier();
  }
}

@compute @workgroup_size(256)
fn forward_token(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let across = ceil_div(call.hidden, kChannels);
  let index = flat(group, groups);
  let row0 = index / across * kRows;
  if (row0 >= call.batch) {
    return;
  }
  let channel = index % across * kChannels + lane % kChannels;
  var shares = Shares();
  if (call.round > 0u && channel < call.hidden) {
    for (var l = lane / kChannels; l < call.hidden; l += kSlices) {
      add_share(&shares, l, channel, states_before(row0, call.round, l));
    }
  }
  for (var gate = 0u; gate < net; gate++) {
    shares.gates[gate] = gathered(lane, shares.gates[gate]);
  }
  if (lane < kChannels && channel < call.hidden) {
    write_token(row0, call.round, channel, shares);
  }
}

// One token: a workgroup has kChannels channels of a row, each the sum of kSlices lanes.
@compute @workgroup_size(256)
fn one_token(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let across = ceil_div(call.hidden, kChannels);
  let index = flat(group, groups);
  let row = index / across;
  let channel = index % across * kChannels + lane % kChannels;
  let here = row < call.batch && channel < call.hidden;
  var shares = vec4(0.0);
  if (here) {
    for (var l = lane / kChannels; l < call.hidden; l += kSlices) {
      shares += h_in[row * call.hidden + l] * weights_of(l, channel);
    }
  }
  parts[lane] = shares;
  workgroupBarrier();
  if (here && lane < kChannels) {
    for (var slice = 1u; slice < kSlices; slice++) {
      shares += parts[slice * kChannels + lane];
    }
    let at = row * call.hidden + channel;
    var cell = 0.0;
    if (net == 4u) {
      cell = c_in[at];
    }
    let token = token_of(inputs_of(row, channel), shares + biases_of(channel), h_in[at], cell);
    nextH[at] = token.state;
    if (net == 4u) {
      nextC[at] = token.cell;
    }
  }
}

@compute @workgroup_size(64)
fn turn(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let to = flat(group, groups) * 64u + lane;
  if (to < width() * call.hidden) {
    turned[to] = w[to % call.hidden * width() + to / call.hidden];
  }
}

// Slope of the state's share of gate number j of token `at`: of GRU's candidate it went through the reset gate.
fn asked(at: u32, j: u32) -> f32 {
  var slope = dgates[at * width() + j];
  if (net == 3u && j >= 2u * call.hidden) {
    slope *= kept_in[kept_at(at, j - 2u * call.hidden)];
  }
  return slope;
}
fn put(at: u32, channel: u32, slopes: vec4<f32>) {
  for (var gate = 0u; gate < net; gate++) {
    dgates[at * width() + gate * call.hidden + channel] = slopes[gate];
  }
}
fn kept_of(at: u32, part: u32, channel: u32) -> f32 {
  return kept_in[kept_at(at, channel) + part * call.hidden];
}
// Of one channel: the slopes of its gates into dgates, and what the token before gets besides, given the slope of its state.
fn token_back(at: u32, first: bool, channel: u32, slope: f32, before: f32) -> f32 {
  let one = kept_of(at, 0u, channel);
  let two = kept_of(at, 1u, channel);
  let three = kept_of(at, 2u, channel);
  let last = kept_of(at, 3u, channel);
  if (net == 3u) {
    var state = 0.0;
    if (!first) {
      state = y_in[(at - 1u) * call.hidden + channel];
    }
    let all = slope + before;
    let of_candidate = all * (1.0 - two) * (1.0 - three * three);
    put(at, channel, vec4(of_candidate * last * one * (1.0 - one), all * (state - three) * two * (1.0 - two), of_candidate, 0.0));
    return all * two;
  }
  var cell = 0.0;
  if (!first) {
    cell = kept_of(at - 1u, 4u, channel);
  }
  let bounded = tangent(kept_of(at, 4u, channel));
  let of_cell = before + slope * last * (1.0 - bounded * bounded);
  put(
    at,
    channel,
    vec4(
      of_cell * three * one * (1.0 - one),
      of_cell * cell * two * (1.0 - two),
      of_cell * one * (1.0 - three * three),
      slope * bounded * last * (1.0 - last),
    ),
  );
  return of_cell * two;
}

// What of four rows arrives through gate number j of the token after t.
fn asked_after(row0: u32, t: u32, j: u32) -> vec4<f32> {
  var slopes = vec4(0.0);
  for (var r = 0u; r < kRows && row0 + r < call.batch; r++) {
    slopes[r] = asked((row0 + r) * call.tokens + t + 1u, j);
  }
  return slopes;
}
// Token t of four rows, one channel, of whose state so much arrives.
fn slopes_of(row0: u32, t: u32, channel: u32, arriving: vec4<f32>) {
  for (var r = 0u; r < kRows && row0 + r < call.batch; r++) {
    let at = (row0 + r) * call.tokens + t;
    let to = (row0 + r) * call.hidden + channel;
    var before = 0.0;
    if (t + 1u < call.tokens) {
      before = carried[to];
    }
    carried[to] = token_back(at, t == 0u, channel, dy_in[at * call.hidden + channel] + arriving[r], before);
  }
}

@compute @workgroup_size(kNarrow)
fn backward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row0 = flat(group, groups) * kRows;
  if (row0 >= call.batch) {
    return;
  }
  for (var after = call.tokens; after > 0u; after--) {
    let t = after - 1u;
    var arriving = vec4(0.0); // through the state's share of the next token's gates
    for (var begin = 0u; begin < select(width(), 0u, after == call.tokens); begin += kNarrow) {
      if (begin + lane < width()) {
        four[lane] = asked_after(row0, t, begin + lane);
      }
      workgroupBarrier();
      if (lane < call.hidden) {
        for (var j = 0u; j < min(kNarrow, width() - begin); j++) {
          arriving += turned[(begin + j) * call.hidden + lane] * four[j];
        }
      }
      workgroupBarrier();
    }
    if (lane < call.hidden) {
      slopes_of(row0, t, lane, arriving);
    }
    storageBarrier();
  }
}

@compute @workgroup_size(256)
fn backward_token(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let across = ceil_div(call.hidden, kChannels);
  let index = flat(group, groups);
  let row0 = index / across * kRows;
  if (row0 >= call.batch) {
    return;
  }
  let t = call.tokens - 1u - call.round;
  let channel = index % across * kChannels + lane % kChannels;
  var arriving = vec4(0.0);
  if (call.round > 0u && channel < call.hidden) {
    for (var j = lane / kChannels; j < width(); j += kSlices) {
      arriving += turned[j * call.hidden + channel] * asked_after(row0, t, j);
    }
  }
  arriving = gathered(lane, arriving);
  if (lane < kChannels && channel < call.hidden) {
    slopes_of(row0, t, channel, arriving);
  }
}

// Σ over tokens of the state before times the slopes of its share of the gates, 64 x 64 weights.
@compute @workgroup_size(256)
fn weight_slopes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let across = ceil_div(width(), 64u);
  let index = flat(group, groups);
  let input0 = index / across * 64u;
  let output0 = index % across * 64u;
  if (input0 >= call.hidden) {
    return;
  }
  var sums = array<vec4<f32>, 4>();
  for (var first = 0u; first < call.batch * call.tokens; first += kStripDeep) {
    for (var n = lane; n < 1024u; n += 256u) {
      let at = first + n / 64u;
      let to = n / 64u * kStripPitch + n % 64u;
      let there = at < call.batch * call.tokens;
      strip_a[to] = 0.0;
      strip_b[to] = 0.0;
      if (there && at % call.tokens > 0u && input0 + n % 64u < call.hidden) {
        strip_a[to] = y_in[(at - 1u) * call.hidden + input0 + n % 64u];
      }
      if (there && output0 + n % 64u < width()) {
        strip_b[to] = asked(at, output0 + n % 64u);
      }
    }
    workgroupBarrier();
    add_strip(lane, &sums);
    workgroupBarrier();
  }
  for (var n = 0u; n < 16u; n++) {
    let input = input0 + lane / 16u + n / 4u * 16u;
    let output = output0 + lane % 16u + n % 4u * 16u;
    if (input < call.hidden && output < width()) {
      dw[input * width() + output] = sums[n / 4u][n % 4u];
    }
  }
}

// Σ over tokens of the slopes of the state's share: 64 numbers of each, in four slices.
var<workgroup> slices: array<f32, 256>;

@compute @workgroup_size(256)
fn bias_slopes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let j = flat(group, groups) * 64u + lane % 64u;
  var sum = 0.0;
  if (j < width()) {
    for (var at = lane / 64u; at < call.batch * call.tokens; at += 4u) {
      sum += asked(at, j);
    }
  }
  slices[lane] = sum;
  workgroupBarrier();
  if (lane < 64u && j < width()) {
    dbias[j] = (slices[lane] + slices[lane + 64u]) + (slices[lane + 128u] + slices[lane + 192u]);
  }
}
