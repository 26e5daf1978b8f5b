// The gradient of the matrix memory: slopes within each chunk, those of the memory from chunk to chunk backwards, then each input's.
// One module with gpu.wgsl, whose bindings, tiles and weights it uses.
//
// The slope of a log weight, over the denominator: N[t][j] = a[j] - mean (1 - eps / denominator), with a[j] = dy[t]·v[j] and mean = Σ_j S a / size.
// All a of a token are taken from that of the token (or memory) with the largest share, so that N is no difference of two that nearly agree.

fn dy_of(c: Chunk, t: u32, channel: u32) -> f32 {
  if (inside(c, t, channel)) {
    return dy_in[channel_at(c, t, channel)];
  }
  return 0.0;
}
fn leaving_of(at: u32, line: u32, channel: u32) -> f32 {
  if (line < call.d && channel < call.d) {
    return leaving[(at * (call.d + 1u) + line) * call.d + channel];
  }
  return 0.0;
}
fn memory_of(at: u32, line: u32, channel: u32) -> f32 {
  if (line < call.d && channel < call.d) {
    return memories_in[(at * (call.d + 2u) + line) * call.d + channel];
  }
  return 0.0;
}
fn sums_of(at: u32, channel: u32) -> f32 {
  return memories_in[(at * (call.d + 2u) + call.d) * call.d + channel];
}

// dy[t]·v[j] of a chunk.
@compute @workgroup_size(256)
fn value_pairs(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let at = flat(group, groups);
  if (at >= all_chunks()) {
    return;
  }
  let c = chunk_at(at);
  var sums = array<vec4<f32>, 4>();
  for (var first = 0u; first < call.d; first += kStripDeep) {
    for (var n = lane; n < 1024u; n += 256u) {
      let to = n % kStripDeep * kStripPitch + n / kStripDeep;
      strip_a[to] = dy_of(c, n / kStripDeep, first + n % kStripDeep);
      strip_b[to] = v_of(c, n / kStripDeep, first + n % kStripDeep);
    }
    workgroupBarrier();
    add_strip(lane, &sums);
    workgroupBarrier();
  }
  for (var n = 0u; n < 16u; n++) {
    slopes[(at * 64u + lane / 16u + n / 4u * 16u) * 64u + lane % 16u + n % 4u * 16u] = sums[n / 4u][n % 4u];
  }
}

// (C - n rᵀ) dy of a chunk, 64 key channels of it.
@compute @workgroup_size(256)
fn memory_slopes(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  let at = index / tiles();
  if (at >= all_chunks()) {
    return;
  }
  let c = chunk_at(at);
  let a0 = index % tiles() * 64u;
  var sums = array<vec4<f32>, 4>();
  for (var first = 0u; first < select(call.d, 0u, c.t0 == 0u); first += kStripDeep) {
    for (var n = lane; n < 1024u; n += 256u) {
      let to = n % kStripDeep * kStripPitch + n / kStripDeep;
      strip_a[to] = dy_of(c, n / kStripDeep, first + n % kStripDeep);
      strip_b[to] = memory_of(at, a0 + n / kStripDeep, first + n % kStripDeep);
    }
    workgroupBarrier();
    add_strip(lane, &sums);
    workgroupBarrier();
  }
  for (var n = 0u; n < 16u; n++) {
    let a = a0 + lane % 16u + n % 4u * 16u;
    if (a < call.d) {
      reach[(at * 64u + lane / 16u + n / 4u * 16u) * call.d + a] = sums[n / 4u][n % 4u];
    }
  }
}

// What a token reads of the memory, and of its slopes; one workgroup each.
@compute @workgroup_size(64)
fn recall(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  let t = index % 64u;
  if (index / 64u >= all_chunks()) {
    return;
  }
  let c = chunk_at(index / 64u);
  var own = 0.0;
  var ruled = 0.0;
  var reading = 0.0;
  if (t < c.tokens) {
    for (var a = lane; a < call.d; a += 64u) {
      own += q_of(c, t, a) * sums_of(c.at, a);
      ruled += dy_of(c, t, a) * memories_in[(c.at * (call.d + 2u) + call.d + 1u) * call.d + a];
      reading += q_of(c, t, a) * reach[index * call.d + a];
    }
  }
  own = sum64(lane, own) * rate(c, kRecall, t);
  ruled = sum64(lane, ruled);
  reading = sum64(lane, reading) * rate(c, kRecall, t);
  if (lane == 0u) {
    let to = c.at * kRates + t;
    rates[to + kOwn] = own;
    rates[to + kRuling] = ruled;
    rates[to + kReading] = reading;
    var size = 0.0;
    if (t < c.tokens) {
      size = size_in[token_at(c.row, c.t0 + t)];
    }
    rates[to + kSize] = size;
  }
}

// Of a token's pairs: N S into slopes, N D / √d into weights, S over the denominator into pairs; one workgroup a token.
@compute @workgroup_size(64)
fn centre(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  let t = index % 64u;
  if (index / 64u >= all_chunks()) {
    return;
  }
  let c = chunk_at(index / 64u);
  let own = rate(c, kOwn, t);
  let ruled = rate(c, kRuling, t);
  let size = rate(c, kSize, t);
  let floor_of_size = lowest(rate(c, kM, t));
  let unit = 1.0 / (max(abs(size), floor_of_size) + call.eps);
  let here = index * 64u + lane;
  let share = pairs[here];
  let a = slopes[here];
  let largest = max64(lane, abs(share));
  let ruler = -max64(lane, select(-64.0, -f32(lane), abs(share) == largest)); // of equal ones the first
  var origin = sum64(lane, select(0.0, a, f32(lane) == ruler));
  var more = own * (ruled - origin);
  if (abs(own) > largest) {
    origin = ruled;
    more = 0.0;
  }
  let sum = sum64(lane, (a - origin) * share) + rate(c, kReading, t) + more;
  let through = (sum + origin * size) * unit; // dy·y
  var mean = -origin; // where the floor is the denominator
  if (abs(size) > floor_of_size) {
    mean = sum / size - call.eps * unit * (origin + sum / size);
  }
  let slope = (a - origin - mean) * unit;
  slopes[here] = slope * share;
  weights[here] *= slope * scale();
  pairs[here] = share * unit;
  if (lane == 0u) {
    let to = c.at * kRates + t;
    let shift = unit * (ruled - origin - mean);
    rates[to + kUnit] = unit;
    rates[to + kShift] = shift;
    // eps stays as it is when the largest log weight grows, and so weighs less.
    rates[to + kDrift] = select(0.0, -through * call.eps * unit, t < c.tokens);
    rates[to + kRecalled] = shift * own + unit * rate(c, kReading, t);
  }
}

// What a chunk asks of the matrix that enters it, 64 x 64 channels, as the slopes of what leaves the chunk before.
@compute @workgroup_size(256)
fn ask(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  let at = index / (tiles() * tiles());
  if (at >= all_chunks()) {
    return;
  }
  let c = chunk_at(at);
  if (c.t0 == 0u) {
    return;
  }
  let a0 = index / tiles() % tiles() * 64u;
  let b0 = index % tiles() * 64u;
  var sums = array<vec4<f32>, 4>();
  for (var first = 0u; first < 64u; first += kStripDeep) {
    for (var n = lane; n < 1024u; n += 256u) {
      let t = first + n / 64u;
      let to = n / 64u * kStripPitch + n % 64u;
      strip_a[to] = rate(c, kUnit, t) * rate(c, kRecall, t) * q_of(c, t, a0 + n % 64u);
      strip_b[to] = dy_of(c, t, b0 + n % 64u);
    }
    workgroupBarrier();
    add_strip(lane, &sums);
    workgroupBarrier();
  }
  for (var n = 0u; n < 16u; n++) {
    let a = a0 + lane / 16u + n / 4u * 16u;
    let b = b0 + lane % 16u + n % 4u * 16u;
    if (a < call.d && b < call.d) {
      leaving[((at - 1u) * (call.d + 1u) + a) * call.d + b] = sums[n / 4u][n % 4u];
    }
  }
}

// The factor on the memory that enters a chunk, in the one that leaves.
fn keep_of(at: u32) -> f32 {
  return faded(held[at * kHeld + kBefore] + held[at * kHeld + kFaded] - held[at * kHeld + kAfter]);
}

// The slopes of the matrix from chunk to chunk, one invocation a number of it.
@compute @workgroup_size(64)
fn scan_back(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups) * 64u + lane;
  let size = call.d * call.d;
  if (index >= call.batch * call.H * size) {
    return;
  }
  let first = index / size * chunk_count();
  var slope = 0.0;
  for (var chunk = chunk_count() - 1u; chunk > 0u; chunk--) {
    let to = (first + chunk - 1u) * (size + call.d) + index % size;
    slope = select(keep_of(first + chunk) * slope, 0.0, chunk + 1u == chunk_count()) + leaving[to];
    leaving[to] = slope;
  }
}

// The same of n, one workgroup a channel of a row. The matrix is about r: where r changes, a change of n moves it.
@compute @workgroup_size(64)
fn scan_back_sums(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  let row = index / call.d;
  let a = index % call.d;
  if (row >= call.batch * call.H) {
    return;
  }
  var slope = 0.0;
  for (var chunk = chunk_count() - 1u; chunk > 0u; chunk--) {
    let at = row * chunk_count() + chunk;
    let c = chunk_at(at);
    var own = 0.0;
    if (lane < c.tokens) {
      own = rate(c, kShift, lane) * rate(c, kRecall, lane) * q_of(c, lane, a);
    }
    if (!c.last) {
      let keep = keep_of(at);
      for (var b = lane; b < call.d; b += 64u) {
        own += keep * leaving_of(at, a, b) * (ruling(at, row, b) - ruling(at + 1u, row, b));
      }
      slope *= keep;
    }
    slope += sum64(lane, own);
    if (lane == 0u) {
      leaving[((at - 1u) * (call.d + 1u) + call.d) * call.d + a] = slope;
    }
  }
}

// Of dk, what goes through the memory that leaves the chunk, 64 channels of it.
@compute @workgroup_size(256)
fn pull(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  let at = index / tiles();
  if (at >= all_chunks()) {
    return;
  }
  let c = chunk_at(at);
  let a0 = index % tiles() * 64u;
  var sums = array<vec4<f32>, 4>();
  for (var first = 0u; first < select(call.d, 0u, c.last); first += kStripDeep) {
    for (var n = lane; n < 1024u; n += 256u) {
      let to = n % kStripDeep * kStripPitch + n / kStripDeep;
      let b = first + n % kStripDeep;
      strip_a[to] = v_of(c, n / kStripDeep, b) - ruling(at + 1u, c.row, b);
      strip_b[to] = leaving_of(at, a0 + n / kStripDeep, b);
    }
    workgroupBarrier();
    add_strip(lane, &sums);
    workgroupBarrier();
  }
  for (var n = 0u; n < 16u; n++) {
    let t = lane / 16u + n / 4u * 16u;
    let a = a0 + lane % 16u + n % 4u * 16u;
    if (a < call.d) {
      var slope = 0.0;
      if (!c.last) {
        slope = rate(c, kWrite, t) * (sums[n / 4u][n % 4u] + leaving[(at * (call.d + 1u) + call.d) * call.d + a]);
      }
      pulled[(at * 64u + t) * call.d + a] = slope;
    }
  }
}

// dq of a chunk, 64 channels of it.
@compute @workgroup_size(256)
fn queries(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  let at = index / tiles();
  if (at >= all_chunks()) {
    return;
  }
  let c = chunk_at(at);
  let a0 = index % tiles() * 64u;
  var sums = array<vec4<f32>, 4>();
  for (var first = 0u; first < 64u; first += kStripDeep) {
    for (var n = lane; n < 1024u; n += 256u) {
      strip_a[n % kStripDeep * kStripPitch + n / kStripDeep] = weights[(at * 64u + n / kStripDeep) * 64u + first + n % kStripDeep];
      strip_b[n / 64u * kStripPitch + n % 64u] = k_of(c, first + n / 64u, a0 + n % 64u);
    }
    workgroupBarrier();
    add_strip(lane, &sums);
    workgroupBarrier();
  }
  for (var n = 0u; n < 16u; n++) {
    let t = lane / 16u + n / 4u * 16u;
    let a = a0 + lane % 16u + n % 4u * 16u;
    if (inside(c, t, a)) {
      let recalled = rate(c, kShift, t) * sums_of(at, a) + rate(c, kUnit, t) * reach[(at * 64u + t) * call.d + a];
      dq_out[channel_at(c, t, a)] = sums[n / 4u][n % 4u] + rate(c, kRecall, t) * recalled;
    }
  }
}

// dk of a chunk, 64 channels of it.
@compute @workgroup_size(256)
fn keys(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  let at = index / tiles();
  if (at >= all_chunks()) {
    return;
  }
  let c = chunk_at(at);
  let a0 = index % tiles() * 64u;
  var sums = array<vec4<f32>, 4>();
  for (var first = 0u; first < 64u; first += kStripDeep) {
    for (var n = lane; n < 1024u; n += 256u) {
      let to = n / 64u * kStripPitch + n % 64u;
      strip_a[to] = weights[(at * 64u + first + n / 64u) * 64u + n % 64u];
      strip_b[to] = q_of(c, first + n / 64u, a0 + n % 64u);
    }
    workgroupBarrier();
    add_strip(lane, &sums);
    workgroupBarrier();
  }
  for (var n = 0u; n < 16u; n++) {
    let t = lane / 16u + n / 4u * 16u;
    let a = a0 + lane % 16u + n % 4u * 16u;
    if (inside(c, t, a)) {
      dk_out[channel_at(c, t, a)] = sums[n / 4u][n % 4u] + pulled[(at * 64u + t) * call.d + a];
    }
  }
}

// dv of a chunk, 64 channels of it.
@compute @workgroup_size(256)
fn values(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  let at = index / tiles();
  if (at >= all_chunks()) {
    return;
  }
  let c = chunk_at(at);
  let b0 = index % tiles() * 64u;
  var sums = array<vec4<f32>, 4>();
  for (var first = 0u; first < 64u; first += kStripDeep) {
    for (var n = lane; n < 1024u; n += 256u) {
      let to = n / 64u * kStripPitch + n % 64u;
      strip_a[to] = pairs[(at * 64u + first + n / 64u) * 64u + n % 64u];
      strip_b[to] = dy_of(c, first + n / 64u, b0 + n % 64u);
    }
    workgroupBarrier();
    add_strip(lane, &sums);
    workgroupBarrier();
  }
  for (var first = 0u; first < select(call.d, 0u, c.last); first += kStripDeep) {
    for (var n = lane; n < 1024u; n += 256u) {
      strip_a[n % kStripDeep * kStripPitch + n / kStripDeep] = rate(c, kWrite, n / kStripDeep) * k_of(c, n / kStripDeep, first + n % kStripDeep);
      strip_b[n / 64u * kStripPitch + n % 64u] = leaving_of(at, first + n / 64u, b0 + n % 64u);
    }
    workgroupBarrier();
    add_strip(lane, &sums);
    workgroupBarrier();
  }
  for (var n = 0u; n < 16u; n++) {
    let t = lane / 16u + n / 4u * 16u;
    let b = b0 + lane % 16u + n % 4u * 16u;
    if (inside(c, t, b)) {
      dv_out[channel_at(c, t, b)] = sums[n / 4u][n % 4u];
    }
  }
}

// Slope of a log factor of the whole memory that a chunk passes on.
@compute @workgroup_size(64)
fn kept(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let at = flat(group, groups);
  if (at >= all_chunks()) {
    return;
  }
  let c = chunk_at(at);
  var sum = 0.0;
  if (!c.last && c.t0 > 0u) {
    for (var n = lane; n < call.d * call.d; n += 64u) {
      let a = n / call.d;
      let b = n % call.d;
      let moved = ruling(at, c.row, b) - ruling(at + 1u, c.row, b);
      sum += leaving_of(at, a, b) * (memory_of(at, a, b) + sums_of(at, a) * moved);
    }
    for (var a = lane; a < call.d; a += 64u) {
      sum += leaving[(at * (call.d + 1u) + call.d) * call.d + a] * sums_of(at, a);
    }
  }
  let total = sum64(lane, sum);
  if (lane == 0u) {
    held[at * kHeld + kKept] = keep_of(at) * total;
  }
}

// Slopes of the stabilisers between chunks, through eps, one invocation a row.
@compute @workgroup_size(64)
fn drifts(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups) * 64u + lane;
  if (row >= call.batch * call.H) {
    return;
  }
  var through = 0.0;
  for (var chunk = chunk_count(); chunk > 0u; chunk--) {
    let c = chunk_at(row * chunk_count() + chunk - 1u);
    held[c.at * kHeld + kThrough] = through;
    through = select(0.0, through, rate(c, kTop, c.tokens - 1u) < 0.0);
    for (var t = 0u; t < c.tokens; t++) {
      through += select(0.0, rate(c, kDrift, t), rate(c, kTop, t) < 0.0);
    }
  }
}

// di and df of a chunk. Lanes own columns of pairs, then tokens.
@compute @workgroup_size(64)
fn gates(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let at = flat(group, groups);
  if (at >= all_chunks()) {
    return;
  }
  let c = chunk_at(at);
  // Each slope becomes the sum of those of its column from its token on.
  var sum = 0.0;
  for (var t = 64u; t > lane; t--) {
    let to = (at * 64u + t - 1u) * 64u + lane;
    sum += slopes[to];
    slopes[to] = sum;
  }
  var share = 0.0;
  for (var a = 0u; a < call.d; a++) {
    share += k_of(c, lane, a) * pulled[(at * 64u + lane) * call.d + a];
  }
  fades[lane] = share;
  storageBarrier();
  workgroupBarrier();
  var input = sum + share;
  var fade = held[at * kHeld + kKept];
  for (var j = 0u; j < lane; j++) {
    fade += slopes[(at * 64u + lane) * 64u + j] + fades[j];
  }
  for (var t = lane; t < c.tokens; t++) {
    let drift = rate(c, kDrift, t) + select(0.0, held[at * kHeld + kThrough], t + 1u == c.tokens);
    let top = rate(c, kTop, t);
    fade += rate(c, kRecalled, t) + select(0.0, drift, top < f32(lane));
    input += select(0.0, drift, top == f32(lane));
  }
  if (lane < c.tokens) {
    let to = token_at(c.row, c.t0 + lane);
    di_out[to] = input;
    df_out[to] = fade * select(1.0 / (1.0 + exp(min(f_in[to], 80.0))), 1.0, call.exponential != 0u);
  }
}
