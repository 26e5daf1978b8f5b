// The gradient of the memory of ATLAS: tokens backwards, a segment at a time, of which the memories are made again first.

@group(0) @binding(24) var<storage, read> states_in: array<f32>;
@group(0) @binding(25) var<storage, read> dy: array<f32>; // [rows, tokens, width]
@group(0) @binding(26) var<storage, read_write> slopes: array<f32>; // as pack, then those of each memory's start [rows, numbers]
@group(0) @binding(27) var<storage, read_write> dp: array<f32>;
@group(0) @binding(28) var<storage, read_write> dk: array<f32>;
@group(0) @binding(29) var<storage, read_write> dv: array<f32>;
@group(0) @binding(30) var<storage, read_write> dgamma: array<f32>;
@group(0) @binding(31) var<storage, read_write> dq: array<f32>;
@group(0) @binding(32) var<storage, read_write> dpq: array<f32>;
@group(0) @binding(33) var<storage, read_write> dalpha: array<f32>;
@group(0) @binding(34) var<storage, read_write> deta: array<f32>;
@group(0) @binding(35) var<storage, read_write> dtheta: array<f32>;
@group(0) @binding(36) var<storage, read_write> dw1: array<f32>;
@group(0) @binding(37) var<storage, read_write> dw2: array<f32>;

// Behind `Places`: w and s before each token of a segment and after its last; slopes of both and of the anchor; two slopes of X; squares; of an answer the
// slope before its hidden units; of each lesson slopes of the factors, and three rows more.
struct More {
  ws: u32,
  ss: u32,
  dw: u32,
  ds: u32,
  danchor: u32,
  dx: u32,
  other: u32,
  both: u32,
  square: u32,
  dbefore: u32,
  dleft1: u32,
  dleft2: u32,
  dright1: u32,
  dright2: u32,
  dthrown: u32,
  dpre: u32,
  rest: u32,
}
fn back_columns() -> u32 {
  return select(call.width, call.hidden, deep());
}
fn gradient_size() -> u32 {
  let each = call.features + 3u * call.hidden + max(call.hidden, call.width) + 2u * call.width;
  return forward_size() + (2u * (kSegment + 1u) + 5u) * numbers() + 2u * squares() + call.hidden + lesson_rows() * each;
}
fn more(begin: u32) -> More {
  var at: More;
  let rows = lesson_rows();
  at.ws = begin + forward_size();
  at.ss = at.ws + (kSegment + 1u) * numbers();
  at.dw = at.ss + (kSegment + 1u) * numbers();
  at.ds = at.dw + numbers();
  at.danchor = at.ds + numbers();
  at.dx = at.danchor + numbers();
  at.other = at.dx + numbers();
  at.both = at.other + numbers();
  at.square = at.both + squares();
  at.dbefore = at.square + squares();
  at.dleft1 = at.dbefore + call.hidden;
  at.dleft2 = at.dleft1 + rows * call.features;
  at.dright1 = at.dleft2 + rows * call.hidden;
  at.dright2 = at.dright1 + rows * max(call.hidden, call.width);
  at.dthrown = at.dright2 + rows * call.width;
  at.dpre = at.dthrown + rows * call.hidden;
  at.rest = at.dpre + rows * call.hidden;
  return at;
}

// Slope of the first X of a trace from that of the last one, which lies at d; where it then lies. The other place is overwritten.
fn orthogonalise_back(lane: u32, trace: u32, d: u32, other: u32, both: u32, square: u32) -> u32 {
  var now = d;
  var next = other;
  for (var after = call.steps; after > 0u; after--) {
    let x = trace + (after - 1u) * trace_size();
    let a = x + numbers();
    let poly = a + squares();
    storageBarrier();
    for (var n = lane; n < squares(); n += wide) {
      let m = matrix_of_square(n);
      let i = (n - m.square) / m.side;
      let j = (n - m.square) % m.side;
      memory[both + n] = along_side(m, x, now, i, j) + along_side(m, x, now, j, i); // dQ + dQᵀ
    }
    storageBarrier();
    for (var n = lane; n < squares(); n += wide) {
      let m = matrix_of_square(n);
      let i = (n - m.square) / m.side;
      let j = (n - m.square) % m.side;
      memory[square + n] = kB * memory[both + n] + kC * (square_product(m, a, both, i, j) + square_product(m, a, both, j, i)); // dA + dAᵀ
    }
    storageBarrier();
    for (var n = lane; n < numbers(); n += wide) {
      let m = matrix_of(n);
      memory[next + n] = square_times(m, poly, now, n) + square_times(m, square, x, n);
    }
    let turn = now;
    now = next;
    next = turn;
  }
  storageBarrier();
  return now;
}

// The query of token t: its slopes, and what they add to dw. `w` is the memory after the token.
fn answer_back(lane: u32, row: u32, t: u32, source: Pack, at: Places, to: More, w: u32) {
  let columns = back_columns();
  let d = call.width;
  let given = (row * call.tokens + t) * d;
  for (var j = lane; j < columns; j += wide) {
    if (deep()) {
      var sum = 0.0;
      for (var f = 0u; f < call.features; f++) {
        sum += pack[source.pq + t * call.features + f] * memory[w + f * columns + j];
      }
      var slope = 0.0;
      for (var n = 0u; n < d; n++) {
        slope += memory[w + first_size() + j * d + n] * dy[given + n];
      }
      memory[at.answer + j] = silu(sum);
      memory[to.dbefore + j] = slope * silu_slope(sum);
    }
  }
  for (var j = lane; j < d; j += wide) {
    slopes[source.q + t * d + j] = select(0.0, dy[given + j], deep());
  }
  storageBarrier();
  for (var f = lane; f < call.features; f += wide) {
    var sum = 0.0;
    for (var j = 0u; j < columns; j++) {
      if (deep()) {
        sum += memory[w + f * columns + j] * memory[to.dbefore + j];
      } else {
        sum += memory[w + f * columns + j] * dy[given + j];
      }
    }
    slopes[source.pq + t * call.features + f] = sum;
  }
  for (var n = lane; n < numbers(); n += wide) {
    let m = matrix_of(n);
    let i = (n - m.at) / m.columns;
    let j = (n - m.at) % m.columns;
    if (m.at > 0u) {
      memory[to.dw + n] += memory[at.answer + i] * dy[given + j];
    } else if (deep()) {
      memory[to.dw + n] += pack[source.pq + t * call.features + i] * memory[to.dbefore + j];
    } else {
      memory[to.dw + n] += pack[source.pq + t * call.features + i] * dy[given + j];
    }
  }
}

// The step of token t, number `index` of its segment, whose lessons' rows begin with token `first`.
fn token_back(lane: u32, row: u32, t: u32, index: u32, first: u32, source: Pack, at: Places, to: More) {
  let w = to.ws + index * numbers();
  let s = to.ss + index * numbers();
  let next = s + numbers();
  answer_back(lane, row, t, source, at, to, w + numbers());
  let length = orthogonalise(lane, next, at.trace);
  let eta_here = pack[source.eta + t];
  var of_alpha = 0.0;
  var of_eta = 0.0;
  for (var n = lane; n < numbers(); n += wide) {
    let slope = memory[to.dw + n];
    of_alpha += slope * memory[w + n];
    of_eta -= slope * memory[last_of(at.trace) + n];
    memory[to.dx + n] = -eta_here * slope;
  }
  let back = orthogonalise_back(lane, at.trace, to.dx, to.other, to.both, to.square);
  var along = vec2(0.0);
  if (call.steps > 0u) {
    for (var n = lane; n < numbers(); n += wide) {
      along[select(0u, 1u, n >= first_size())] += memory[back + n] * memory[next + n];
    }
    let whole = vec2(sum_wide(lane, along.x), sum_wide(lane, along.y));
    along = whole * length.xy * length.xy / length.zw;
  }
  var of_theta = 0.0;
  for (var n = lane; n < numbers(); n += wide) {
    let second = n >= first_size();
    memory[to.ds + n] += select(length.x, length.y, second) * memory[back + n] - select(along.x, along.y, second) * memory[next + n];
    of_theta += memory[to.ds + n] * memory[s + n];
  }
  let all = vec3(sum_wide(lane, of_alpha), sum_wide(lane, of_eta), sum_wide(lane, of_theta));
  if (lane == 0u) {
    slopes[source.alpha + t] = all.x;
    slopes[source.eta + t] = all.y;
    slopes[source.theta + t] = all.z;
  }
  storageBarrier();
  factors_back(lane, vec2(window_of(t), t + 1u) - first, first, source, at, to);
  storageBarrier();
  for (var n = lane; n < numbers(); n += wide) {
    memory[to.dw + n] *= pack[source.alpha + t];
    memory[to.ds + n] *= pack[source.theta + t];
  }
}

// From ds to the factors of rows begin .. end - 1 of the lessons.
fn factors_back(lane: u32, rows: vec2<u32>, first: u32, source: Pack, at: Places, to: More) {
  let count = rows.y - rows.x;
  let columns = back_columns();
  let h = call.hidden;
  let d = call.width;
  for (var n = lane; n < count * call.features; n += wide) {
    let row = rows.x + n / call.features;
    let f = n % call.features;
    var sum = 0.0;
    for (var j = 0u; j < columns; j++) {
      sum += memory[to.ds + f * columns + j] * right_of(false, at, row, j);
    }
    memory[to.dleft1 + row * call.features + f] += sum;
  }
  for (var n = lane; n < count * columns; n += wide) {
    let row = rows.x + n / columns;
    let j = n % columns;
    var sum = 0.0;
    for (var f = 0u; f < call.features; f++) {
      sum += memory[to.ds + f * columns + j] * pack[source.p + (first + row) * call.features + f];
    }
    memory[to.dright1 + row * columns + j] += sum;
  }
  for (var n = lane; n < count * h; n += wide) {
    let row = rows.x + n / h;
    var sum = 0.0;
    for (var j = 0u; j < d; j++) {
      sum += memory[to.ds + first_size() + n % h * d + j] * memory[at.error + row * d + j];
    }
    memory[to.dleft2 + row * h + n % h] += sum;
  }
  for (var n = lane; n < select(0u, count * d, deep()); n += wide) {
    let row = rows.x + n / d;
    var sum = 0.0;
    for (var i = 0u; i < h; i++) {
      sum += memory[to.ds + first_size() + i * d + n % d] * memory[at.hidden + row * h + i];
    }
    memory[to.dright2 + row * d + n % d] += sum;
  }
}

// Through the factors of all rows of the lessons, the first of which is token `first`, at the anchor.
fn lessons_back(lane: u32, rows: u32, first: u32, anchor: u32, source: Pack, at: Places, to: More) {
  let h = call.hidden;
  let d = call.width;
  let columns = back_columns();
  storageBarrier();
  for (var n = lane; n < rows * h; n += wide) {
    let pre = memory[at.before + n];
    let open = sigmoid(pre);
    let slope = memory[to.dright1 + n];
    memory[to.dthrown + n] = slope * silu_slope(pre);
    memory[to.dpre + n] = slope * memory[at.thrown + n] * open * (1.0 - open) * (2.0 + pre * (1.0 - 2.0 * open));
  }
  storageBarrier();
  for (var n = lane; n < rows * d; n += wide) {
    var slope = 0.0; // of the error
    if (deep()) {
      slope = memory[to.dright2 + n];
      for (var j = 0u; j < h; j++) {
        slope += memory[to.dthrown + n / d * h + j] * memory[anchor + first_size() + j * d + n % d];
      }
    } else {
      slope = memory[to.dright1 + n];
    }
    memory[to.dright2 + n] = slope;
    let by = pack[source.gamma + first + n / d] * slope;
    memory[to.rest + n] = by;
    slopes[source.v + first * d + n] -= by;
    if (deep()) {
      slopes[source.k + first * d + n] += by;
    }
  }
  storageBarrier();
  for (var row = lane; row < rows; row += wide) {
    var sum = 0.0;
    for (var j = 0u; j < d; j++) {
      sum += memory[to.dright2 + row * d + j] * memory[at.residual + row * d + j];
    }
    slopes[source.gamma + first + row] += sum;
  }
  for (var n = lane; n < rows * h; n += wide) {
    var slope = memory[to.dleft2 + n];
    for (var j = 0u; j < d; j++) {
      slope += memory[anchor + first_size() + n % h * d + j] * memory[to.rest + n / h * d + j];
    }
    memory[to.dpre + n] += slope * silu_slope(memory[at.before + n]);
  }
  storageBarrier();
  for (var n = lane; n < rows * call.features; n += wide) {
    let row = n / call.features;
    var sum = memory[to.dleft1 + n];
    for (var j = 0u; j < columns; j++) {
      sum += memory[anchor + n % call.features * columns + j] * memory[select(to.rest, to.dpre, deep()) + row * columns + j];
    }
    slopes[source.p + first * call.features + n] += sum;
  }
  for (var n = lane; n < numbers(); n += wide) {
    let m = matrix_of(n);
    let i = (n - m.at) / m.columns;
    let j = (n - m.at) % m.columns;
    var sum = memory[to.danchor + n];
    for (var row = 0u; row < rows; row++) {
      if (m.at > 0u) {
        sum += memory[to.dthrown + row * h + i] * memory[at.error + row * d + j];
        sum += memory[at.hidden + row * h + i] * memory[to.rest + row * d + j];
      } else {
        sum += pack[source.p + (first + row) * call.features + i] * memory[select(to.rest, to.dpre, deep()) + row * columns + j];
      }
    }
    memory[to.danchor + n] = sum;
  }
  storageBarrier();
}

// The memory at the start of segment g, from the numbers that were kept.
fn kept_number(row: u32, g: u32, which: u32, n: u32) -> f32 {
  let begin = ((row * segments_of(call.tokens) + g) * 4u + 2u * which) * numbers() + n;
  return states_in[begin] + states_in[begin + numbers()];
}

@compute @workgroup_size(wide)
fn backward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups);
  if (row >= call.rows) {
    return;
  }
  let source = pack_of(row);
  let at = places(row * gradient_size());
  let to = more(row * gradient_size());
  for (var n = lane; n < packed(); n += wide) {
    slopes[source.p + n] = 0.0;
  }
  for (var n = lane; n < numbers(); n += wide) {
    memory[to.dw + n] = 0.0;
    memory[to.ds + n] = 0.0;
    memory[to.danchor + n] = 0.0;
  }
  var last = call.tokens;
  for (var left = segments_of(call.tokens); left > 0u; left--) {
    let g = left - 1u;
    let pieces = ceil_div(segment_step(), kSegment);
    let t0 = g / pieces * segment_step() + g % pieces * kSegment;
    let anchored = g - select(g % pieces, 0u, call.chunk <= kSegment);
    for (var n = lane; n < numbers(); n += wide) {
      memory[to.ws + n] = kept_number(row, g, 0u, n);
      memory[to.ss + n] = kept_number(row, g, 1u, n);
      memory[at.anchor + n] = kept_number(row, anchored, 0u, n);
    }
    // The memory after each token.
    for (var t = t0; t < last; ) {
      let end = piece_end(t, last);
      let first = window_of(t);
      take_lessons(lane, source, at, select(at.anchor, to.ws + (t - t0) * numbers(), t % call.chunk == 0u), first, end - first);
      for (; t < end; t++) {
        let w = to.ws + (t - t0) * numbers();
        let s = to.ss + (t - t0) * numbers();
        gather(lane, source, at, first, vec2(window_of(t), t + 1u) - first, pack[source.theta + t], s, s + numbers());
        let unused = orthogonalise(lane, s + numbers(), at.trace);
        for (var n = lane; n < numbers(); n += wide) {
          memory[w + numbers() + n] = pack[source.alpha + t] * memory[w + n] - pack[source.eta + t] * memory[last_of(at.trace) + n];
        }
        storageBarrier();
      }
    }
    // Pieces backwards.
    for (var end = last; end > t0; ) {
      var begin = t0;
      for (var stop = piece_end(begin, last); stop < end; stop = piece_end(begin, last)) {
        begin = stop;
      }
      let first = window_of(begin);
      let rows = end - first;
      let anchor = select(at.anchor, to.ws + (begin - t0) * numbers(), begin % call.chunk == 0u);
      take_lessons(lane, source, at, anchor, first, rows);
      for (var n = lane; n < rows * call.features; n += wide) {
        memory[to.dleft1 + n] = 0.0;
      }
      for (var n = lane; n < rows * call.hidden; n += wide) {
        memory[to.dleft2 + n] = 0.0;
      }
      for (var n = lane; n < rows * max(call.hidden, call.width); n += wide) {
        memory[to.dright1 + n] = 0.0;
      }
      for (var n = lane; n < rows * call.width; n += wide) {
        memory[to.dright2 + n] = 0.0;
      }
      storageBarrier();
      for (var t = end; t > begin; t--) {
        token_back(lane, row, t - 1u, t - 1u - t0, first, source, at, to);
        storageBarrier();
      }
      lessons_back(lane, rows, first, anchor, source, at, to);
      if (begin % call.chunk == 0u) {
        for (var n = lane; n < numbers(); n += wide) {
          memory[to.dw + n] += memory[to.danchor + n];
          memory[to.danchor + n] = 0.0;
        }
        storageBarrier();
      }
      end = begin;
    }
    last = t0;
  }
  for (var n = lane; n < numbers(); n += wide) {
    slopes[call.rows * packed() + row * numbers() + n] = memory[to.dw + n];
  }
}

@compute @workgroup_size(64)
fn unpack_rows(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups) * 64u + lane;
  if (index >= call.rows * every()) {
    return;
  }
  let source = pack_of(index / every());
  let t = index % every();
  for (var j = 0u; j < call.features; j++) {
    dp[index * call.features + j] = slopes[source.p + t * call.features + j];
  }
  for (var j = 0u; j < call.width; j++) {
    dk[index * call.width + j] = slopes[source.k + t * call.width + j];
    dv[index * call.width + j] = slopes[source.v + t * call.width + j];
  }
  dgamma[index] = slopes[source.gamma + t];
}

@compute @workgroup_size(64)
fn unpack_queries(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups) * 64u + lane;
  if (index >= call.rows * call.tokens) {
    return;
  }
  let source = pack_of(index / call.tokens);
  let t = index % call.tokens;
  for (var j = 0u; j < call.width; j++) {
    dq[index * call.width + j] = slopes[source.q + t * call.width + j];
  }
  for (var j = 0u; j < call.features; j++) {
    dpq[index * call.features + j] = slopes[source.pq + t * call.features + j];
  }
  dalpha[index] = slopes[source.alpha + t];
  deta[index] = slopes[source.eta + t];
  dtheta[index] = slopes[source.theta + t];
}

// Σ over the memories that begin with the same matrices.
@compute @workgroup_size(64)
fn starts(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups) * 64u + lane;
  if (index >= call.heads * numbers()) {
    return;
  }
  let head = index / numbers();
  let n = index % numbers();
  var sum = 0.0;
  for (var row = head; row < call.rows; row += call.heads) {
    sum += slopes[call.rows * packed() + row * numbers() + n];
  }
  if (n < first_size()) {
    dw1[head * first_size() + n] = sum;
  } else {
    dw2[head * (numbers() - first_size()) + n - first_size()] = sum;
  }
}
