// The memory of ATLAS: a workgroup takes one memory from token to token. Matrices lie as outside, [in, out], the second behind the first, and what is done
// to both is one loop over all their numbers; a lane keeps to its own of them, and barriers stand where others' are read.

struct Call {
  present: u32,
  rows: u32, // memories
  heads: u32, // starts
  tokens: u32,
  behind: u32, // tokens before the first that is read
  features: u32,
  hidden: u32, // 0: one matrix [features, width]
  width: u32,
  window: u32,
  chunk: u32,
  steps: u32, // of orthogonalisation
  position: u32,
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> p: array<f32>; // [rows, behind + tokens, features]
@group(0) @binding(2) var<storage, read> k: array<f32>; // [rows, behind + tokens, width], as v
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> gamma: array<f32>; // [rows, behind + tokens]
@group(0) @binding(5) var<storage, read> q: array<f32>; // [rows, tokens, width]
@group(0) @binding(6) var<storage, read> pq: array<f32>; // [rows, tokens, features]
@group(0) @binding(7) var<storage, read> alpha: array<f32>; // [rows, tokens], as eta and theta
@group(0) @binding(8) var<storage, read> eta: array<f32>;
@group(0) @binding(9) var<storage, read> theta: array<f32>;
@group(0) @binding(10) var<storage, read> w1: array<f32>; // [heads, features, hidden], of a step [rows, ..]
@group(0) @binding(11) var<storage, read> w2: array<f32>;
@group(0) @binding(12) var<storage, read> s1: array<f32>; // [rows, features, hidden]
@group(0) @binding(13) var<storage, read> s2: array<f32>;
@group(0) @binding(14) var<storage, read> anchor1: array<f32>;
@group(0) @binding(15) var<storage, read> anchor2: array<f32>;
@group(0) @binding(16) var<storage, read_write> pack: array<f32>; // a memory after the other: p, k, v, gamma, q, pq, alpha, eta, theta
@group(0) @binding(17) var<storage, read_write> memory: array<f32>; // see `Places`
@group(0) @binding(18) var<storage, read_write> y: array<f32>; // [rows, tokens, width]
@group(0) @binding(19) var<storage, read_write> states_out: array<f32>; // [rows, segments, (w, s), (rounded, rest), numbers]
@group(0) @binding(20) var<storage, read_write> nextW1: array<f32>;
@group(0) @binding(21) var<storage, read_write> nextS1: array<f32>;
@group(0) @binding(22) var<storage, read_write> nextW2: array<f32>;
@group(0) @binding(23) var<storage, read_write> nextS2: array<f32>;

override keeps: u32 = 0u; // 1: states go out
const kSegment = 16u;
const kA = 3.4445;
const kB = -4.775;
const kC = 2.0315;

// ---------------------------------------------------------------- sizes and places

fn deep() -> bool {
  return call.hidden > 0u;
}
fn first_size() -> u32 {
  return call.features * select(call.width, call.hidden, deep());
}
fn numbers() -> u32 {
  return first_size() + call.hidden * call.width;
}
// A matrix: rows and columns, where it begins among all numbers, its smaller side, and where its square begins among all squares.
struct Matrix {
  rows: u32,
  columns: u32,
  at: u32,
  side: u32,
  square: u32,
}
fn matrix(index: u32) -> Matrix {
  let columns = select(call.width, call.hidden, deep());
  let side = min(call.features, columns);
  if (index == 0u) {
    return Matrix(call.features, columns, 0u, side, 0u);
  }
  return Matrix(call.hidden, call.width, first_size(), min(call.hidden, call.width), side * side);
}
fn matrix_of(number: u32) -> Matrix {
  return matrix(select(0u, 1u, number >= first_size()));
}
fn squares() -> u32 {
  let last = matrix(1u);
  return last.square + last.side * last.side;
}
fn matrix_of_square(number: u32) -> Matrix {
  return matrix(select(0u, 1u, number >= matrix(1u).square));
}

fn every() -> u32 {
  return call.behind + call.tokens;
}
fn packed() -> u32 {
  return every() * (call.features + 2u * call.width + 1u) + call.tokens * (call.width + call.features + 3u);
}
// Where a memory's numbers begin in `pack` and in the slopes, which lie alike.
struct Pack {
  p: u32,
  k: u32,
  v: u32,
  gamma: u32,
  q: u32,
  pq: u32,
  alpha: u32,
  eta: u32,
  theta: u32,
}
fn pack_of(row: u32) -> Pack {
  var at: Pack;
  at.p = row * packed();
  at.k = at.p + every() * call.features;
  at.v = at.k + every() * call.width;
  at.gamma = at.v + every() * call.width;
  at.q = at.gamma + every();
  at.pq = at.q + call.tokens * call.width;
  at.alpha = at.pq + call.tokens * call.features;
  at.eta = at.alpha + call.tokens;
  at.theta = at.eta + call.tokens;
  return at;
}

fn lesson_rows() -> u32 {
  return kSegment - 1u + min(call.window, every());
}
fn trace_size() -> u32 {
  return numbers() + 2u * squares();
}
fn forward_size() -> u32 {
  return 3u * numbers() + call.steps * trace_size() + numbers() + lesson_rows() * (4u * call.hidden + 2u * call.width) + call.hidden;
}
// Where things lie in `memory`: w, s and anchor [numbers]; the trace, of each step X [numbers], A and Q [squares], then the last X; of each lesson
// before, hidden, thrown, back [hidden], residual and error [width]; and the hidden units of an answer.
struct Places {
  w: u32,
  s: u32,
  anchor: u32,
  trace: u32,
  before: u32,
  hidden: u32,
  thrown: u32,
  back: u32,
  residual: u32,
  error: u32,
  answer: u32,
}
fn places(begin: u32) -> Places {
  var at: Places;
  at.w = begin;
  at.s = at.w + numbers();
  at.anchor = at.s + numbers();
  at.trace = at.anchor + numbers();
  at.before = at.trace + call.steps * trace_size() + numbers();
  let units = lesson_rows() * call.hidden;
  at.hidden = at.before + units;
  at.thrown = at.hidden + units;
  at.back = at.thrown + units;
  at.residual = at.back + units;
  at.error = at.residual + lesson_rows() * call.width;
  at.answer = at.error + lesson_rows() * call.width;
  return at;
}

// ---------------------------------------------------------------- in and out

@compute @workgroup_size(64)
fn pack_rows(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups) * 64u + lane;
  if (index >= call.rows * every()) {
    return;
  }
  let to = pack_of(index / every());
  let t = index % every();
  for (var j = 0u; j < call.features; j++) {
    pack[to.p + t * call.features + j] = p[index * call.features + j];
  }
  for (var j = 0u; j < call.width; j++) {
    pack[to.k + t * call.width + j] = k[index * call.width + j];
    pack[to.v + t * call.width + j] = v[index * call.width + j];
  }
  pack[to.gamma + t] = gamma[index];
}

@compute @workgroup_size(64)
fn pack_queries(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups) * 64u + lane;
  if (index >= call.rows * call.tokens) {
    return;
  }
  let to = pack_of(index / call.tokens);
  let t = index % call.tokens;
  for (var j = 0u; j < call.width; j++) {
    pack[to.q + t * call.width + j] = q[index * call.width + j];
  }
  for (var j = 0u; j < call.features; j++) {
    pack[to.pq + t * call.features + j] = pq[index * call.features + j];
  }
  pack[to.alpha + t] = alpha[index];
  pack[to.eta + t] = eta[index];
  pack[to.theta + t] = theta[index];
}

@compute @workgroup_size(64)
fn begin(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups);
  if (row >= call.rows) {
    return;
  }
  let at = places(row * forward_size());
  let own = row % call.heads;
  for (var n = lane; n < numbers(); n += 64u) {
    if (n < first_size()) {
      memory[at.w + n] = w1[own * first_size() + n];
    } else {
      memory[at.w + n] = w2[own * (numbers() - first_size()) + n - first_size()];
    }
    memory[at.s + n] = 0.0;
    memory[at.anchor + n] = 0.0;
  }
}

@compute @workgroup_size(64)
fn resume(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups);
  if (row >= call.rows) {
    return;
  }
  let at = places(row * forward_size());
  let inside = call.position % call.chunk > 0u; // of a chunk, whose anchor is given
  for (var n = lane; n < numbers(); n += 64u) {
    var anchored = 0.0;
    if (n < first_size()) {
      let source = row * first_size() + n;
      memory[at.w + n] = w1[source];
      memory[at.s + n] = s1[source];
      if (inside) {
        anchored = anchor1[source];
      }
    } else {
      let source = row * (numbers() - first_size()) + n - first_size();
      memory[at.w + n] = w2[source];
      memory[at.s + n] = s2[source];
      if (inside) {
        anchored = anchor2[source];
      }
    }
    memory[at.anchor + n] = anchored;
  }
}

@compute @workgroup_size(64)
fn leave(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups);
  if (row >= call.rows) {
    return;
  }
  let at = places(row * forward_size());
  for (var n = lane; n < numbers(); n += 64u) {
    if (n < first_size()) {
      let to = row * first_size() + n;
      nextW1[to] = memory[at.w + n];
      nextS1[to] = memory[at.s + n];
    } else {
      let to = row * (numbers() - first_size()) + n - first_size();
      nextW2[to] = memory[at.w + n];
      nextS2[to] = memory[at.s + n];
    }
  }
}

// ---------------------------------------------------------------- the orthogonalised step

// Of both matrices at `from`: 1 over their lengths, and the lengths.
fn lengths(lane: u32, begin: u32) -> vec4<f32> {
  var sums = vec2(0.0);
  for (var n = lane; n < numbers(); n += wide) {
    let value = memory[begin + n];
    sums[select(0u, 1u, n >= first_size())] += value * value;
  }
  let length = sqrt(vec2(sum_wide(lane, sums.x), sum_wide(lane, sums.y)) + 1e-30);
  return vec4(1.0 / (length + 1e-7), length);
}

// Σ over the longer side of a[i] b[j], columns or rows i and j along the shorter one.
fn along_side(m: Matrix, a: u32, b: u32, i: u32, j: u32) -> f32 {
  let tall = m.rows > m.columns;
  let step = select(1u, m.columns, tall);
  let from_a = a + m.at + i * select(m.columns, 1u, tall);
  let from_b = b + m.at + j * select(m.columns, 1u, tall);
  var sum = 0.0;
  for (var n = 0u; n < max(m.rows, m.columns); n++) {
    sum += memory[from_a + n * step] * memory[from_b + n * step];
  }
  return sum;
}
// Number `number` of the product of a square and a matrix: of the square with a wide one from the left, with a tall one from the right.
fn square_times(m: Matrix, square: u32, a: u32, number: u32) -> f32 {
  let row = (number - m.at) / m.columns;
  let column = (number - m.at) % m.columns;
  let tall = m.rows > m.columns;
  let from_square = square + m.square + select(row, column, tall) * m.side;
  let source = a + m.at + select(column, row * m.columns, tall);
  let step = select(m.columns, 1u, tall);
  var sum = 0.0;
  for (var n = 0u; n < m.side; n++) {
    sum += memory[from_square + n] * memory[source + n * step]; // squares are their own transposes
  }
  return sum;
}
fn square_product(m: Matrix, a: u32, b: u32, i: u32, j: u32) -> f32 {
  var sum = 0.0;
  for (var n = 0u; n < m.side; n++) {
    sum += memory[a + m.square + i * m.side + n] * memory[b + m.square + n * m.side + j];
  }
  return sum;
}

// Where the last X of a trace lies.
fn last_of(trace: u32) -> u32 {
  return trace + call.steps * trace_size();
}
// Both matrices of s, orthogonalised, to the last X of the trace. A lane finds its own numbers there without a barrier.
fn orthogonalise(lane: u32, s: u32, trace: u32) -> vec4<f32> {
  var length = vec4(1.0);
  if (call.steps > 0u) {
    length = lengths(lane, s);
  }
  for (var n = lane; n < numbers(); n += wide) {
    memory[trace + n] = memory[s + n] * select(length.x, length.y, n >= first_size());
  }
  storageBarrier();
  for (var step = 0u; step < call.steps; step++) {
    let x = trace + step * trace_size();
    let a = x + numbers();
    let poly = a + squares();
    for (var n = lane; n < squares(); n += wide) {
      let m = matrix_of_square(n);
      memory[a + n] = along_side(m, x, x, (n - m.square) / m.side, (n - m.square) % m.side);
    }
    storageBarrier();
    for (var n = lane; n < squares(); n += wide) {
      let m = matrix_of_square(n);
      let i = (n - m.square) / m.side;
      let j = (n - m.square) % m.side;
      memory[poly + n] = kB * memory[a + n] + kC * square_product(m, a, a, i, j) + select(0.0, kA, i == j);
    }
    storageBarrier();
    for (var n = lane; n < numbers(); n += wide) {
      memory[x + trace_size() + n] = square_times(matrix_of(n), poly, x, n);
    }
    storageBarrier();
  }
  return length;
}

// ---------------------------------------------------------------- tokens

// What the memory at an anchor makes of tokens first .. first + rows - 1.
fn take_lessons(lane: u32, source: Pack, at: Places, anchor: u32, first: u32, rows: u32) {
  let h = call.hidden;
  let d = call.width;
  storageBarrier();
  for (var n = lane; n < rows * h; n += wide) {
    var sum = 0.0;
    for (var f = 0u; f < call.features; f++) {
      sum += pack[source.p + (first + n / h) * call.features + f] * memory[anchor + f * h + n % h];
    }
    memory[at.before + n] = sum;
    memory[at.hidden + n] = silu(sum);
  }
  storageBarrier();
  for (var n = lane; n < rows * d; n += wide) {
    let token = first + n / d;
    var sum = -pack[source.v + token * d + n % d];
    if (deep()) {
      sum += pack[source.k + token * d + n % d];
      for (var j = 0u; j < h; j++) {
        sum += memory[at.hidden + n / d * h + j] * memory[anchor + first_size() + j * d + n % d];
      }
    } else {
      for (var f = 0u; f < call.features; f++) {
        sum += pack[source.p + token * call.features + f] * memory[anchor + f * d + n % d];
      }
    }
    memory[at.residual + n] = sum;
    memory[at.error + n] = pack[source.gamma + token] * sum;
  }
  storageBarrier();
  for (var n = lane; n < rows * h; n += wide) {
    var sum = 0.0;
    for (var j = 0u; j < d; j++) {
      sum += memory[at.error + n / h * d + j] * memory[anchor + first_size() + n % h * d + j];
    }
    memory[at.thrown + n] = sum;
    memory[at.back + n] = sum * silu_slope(memory[at.before + n]);
  }
  storageBarrier();
}

// What a matrix learns from a row of lessons: number n of left and right, of which the gradient is the outer product. `token` is the row's own.
fn left_of(second: bool, source: Pack, at: Places, row: u32, token: u32, n: u32) -> f32 {
  if (second) {
    return memory[at.hidden + row * call.hidden + n];
  }
  return pack[source.p + token * call.features + n];
}
fn right_of(second: bool, at: Places, row: u32, n: u32) -> f32 {
  if (second || !deep()) {
    return memory[at.error + row * call.width + n];
  }
  return memory[at.back + row * call.hidden + n];
}

// to = theta s + the gradients of rows begin .. end - 1 of the lessons, the first of which are of token `first`. A lane makes its own numbers.
fn gather(lane: u32, source: Pack, at: Places, first: u32, rows: vec2<u32>, by: f32, s: u32, to: u32) {
  for (var n = lane; n < numbers(); n += wide) {
    let m = matrix_of(n);
    var sum = by * memory[s + n];
    for (var row = rows.x; row < rows.y; row++) {
      let left = left_of(m.at > 0u, source, at, row, first + row, (n - m.at) / m.columns);
      sum += left * right_of(m.at > 0u, at, row, (n - m.at) % m.columns);
    }
    memory[to + n] = sum;
  }
}

// The end of the piece of one chunk and at most a segment that begins with token t.
fn piece_end(t: u32, last: u32) -> u32 {
  return min(last, min(t + call.chunk - (call.position + t) % call.chunk, t + kSegment));
}
// The first token that the window of token t holds, counted from the first of all.
fn window_of(t: u32) -> u32 {
  let end = call.behind + t + 1u;
  return end - min(end, call.window);
}
// Tokens from one segment to the next group of them, and segments of such a group: whole chunks while they fit, else pieces of one.
fn segment_step() -> u32 {
  return select(call.chunk, call.chunk * (kSegment / call.chunk), call.chunk <= kSegment);
}
fn segments_of(tokens: u32) -> u32 {
  let step = segment_step();
  return tokens / step * ceil_div(step, kSegment) + ceil_div(tokens % step, kSegment);
}
fn starts_segment(t: u32) -> bool {
  return t % segment_step() % kSegment == 0u;
}

// The answer to the query of token t by the memory at w.
fn answer(lane: u32, row: u32, t: u32, source: Pack, at: Places, w: u32) {
  let columns = select(call.width, call.hidden, deep());
  for (var j = lane; j < columns; j += wide) {
    var sum = 0.0;
    for (var f = 0u; f < call.features; f++) {
      sum += pack[source.pq + t * call.features + f] * memory[w + f * columns + j];
    }
    if (deep()) {
      memory[at.answer + j] = silu(sum);
    } else {
      y[(row * call.tokens + t) * call.width + j] = sum;
    }
  }
  storageBarrier();
  if (deep()) {
    for (var j = lane; j < call.width; j += wide) {
      var sum = pack[source.q + t * call.width + j];
      for (var n = 0u; n < call.hidden; n++) {
        sum += memory[at.answer + n] * memory[w + first_size() + n * call.width + j];
      }
      y[(row * call.tokens + t) * call.width + j] = sum;
    }
  }
}

@compute @workgroup_size(wide)
fn read_tokens(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups);
  if (row >= call.rows) {
    return;
  }
  let source = pack_of(row);
  let at = places(row * forward_size());
  for (var t = 0u; t < call.tokens; ) {
    if ((call.position + t) % call.chunk == 0u) {
      for (var n = lane; n < numbers(); n += wide) {
        memory[at.anchor + n] = memory[at.w + n];
      }
    }
    let end = piece_end(t, call.tokens);
    let first = window_of(t);
    take_lessons(lane, source, at, at.anchor, first, call.behind + end - first);
    for (; t < end; t++) {
      if (keeps == 1u && starts_segment(t)) {
        let to = (row * segments_of(call.tokens) + segments_of(t)) * 4u * numbers();
        for (var n = lane; n < numbers(); n += wide) {
          states_out[to + n] = memory[at.w + n];
          states_out[to + numbers() + n] = 0.0; // nothing is left of the rounding
          states_out[to + 2u * numbers() + n] = memory[at.s + n];
          states_out[to + 3u * numbers() + n] = 0.0;
        }
      }
      let rows = vec2(window_of(t), call.behind + t + 1u) - first;
      gather(lane, source, at, first, rows, pack[source.theta + t], at.s, at.s);
      let unused = orthogonalise(lane, at.s, at.trace);
      for (var n = lane; n < numbers(); n += wide) {
        memory[at.w + n] = pack[source.alpha + t] * memory[at.w + n] - pack[source.eta + t] * memory[last_of(at.trace) + n];
      }
      storageBarrier();
      answer(lane, row, t, source, at, at.w);
      storageBarrier();
    }
  }
}
