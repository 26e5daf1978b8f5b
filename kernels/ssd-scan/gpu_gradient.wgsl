// The gradient of the state-space-dual scan: the state's gradient from chunk to chunk backwards, then each input's within its chunk.
// One module with gpu.wgsl, whose bindings, tiles and rates it uses.

// The gradient of the state, one invocation a number of it.
@compute @workgroup_size(64)
fn scan_back(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let size = call.N * call.P;
  let i = flat(group, groups) * 64u + lane;
  if (i >= call.batch * call.H * size) {
    return;
  }
  let row = i / size;
  let n = i % size / call.P;
  let p = i % call.P;
  let turned = (row * call.P + p) * call.N + n;
  var slope = dfinalState[turned];
  for (var back = 0u; back < chunk_count(); back++) {
    let at = (row + 1u) * chunk_count() - 1u - back;
    leaving[at * size + i % size] = slope;
    slope = rates[at * kRates + kTotal] * slope + outers[at * size + i % size];
  }
  dinitialState[turned] = slope;
}

// Sums what the 16 lanes of a row hold, for rows ty and ty + 16; lanes with tx = 0 get it.
fn across_row(lane: u32, value: vec2<f32>) -> vec2<f32> {
  workgroupBarrier();
  left[lane] = value.x;
  right[lane] = value.y;
  workgroupBarrier();
  var sum = vec2<f32>(0.0);
  for (var i = 0u; i < 16u; i++) {
    let other = lane / 16u * 16u + i;
    sum += vec2<f32>(left[other], right[other]);
  }
  workgroupBarrier();
  return sum;
}

// dx of 32 tokens, and what of ddt goes through the state that leaves.
@compute @workgroup_size(256)
fn backward_x(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  if (index >= call.batch * call.H * chunk_count() * 2u) {
    return;
  }
  let c = head_chunk(index / 2u);
  let s0 = index % 2u * 32u;
  let row = s0 + lane / 16u;
  let tail = vec2<f32>(rate(c, kTail + row), rate(c, kTail + row + 16u));
  let fed = tail * vec2<f32>(rate(c, kDt + row), rate(c, kDt + row + 16u));
  var share = vec2<f32>(0.0);
  for (var p0 = 0u; p0 < call.P; p0 += kWidth) {
    var sums = array<vec4<f32>, 4>();
    var pulls = array<vec4<f32>, 4>();
    for (var l0 = s0; l0 < 64u; l0 += 32u) {
      let l = l0 + lane / 16u;
      let s = s0 + lane % 16u;
      let gram = grams(lane, c, l0, s0);
      keep(lane, gram * decays(c, l, s) * steps_of(c, s) + skip(c, l, s));
      for (var q = 0u; q < 4u; q++) {
        if (p0 + 32u * q < call.P) {
          for (var i = lane; i < 1024u; i += 256u) {
            right[place(i)] = dy_of(c, l0 + i / 32u, p0 + 32u * q + i % 32u);
          }
          workgroupBarrier();
          sums[q] += product_across(lane);
          workgroupBarrier();
        }
      }
    }
    for (var n0 = 0u; n0 < call.N; n0 += 32u) {
      for (var i = lane; i < 1024u; i += 256u) {
        shares[place(i)] = B_of(c, s0 + i / 32u, n0 + i % 32u);
      }
      for (var q = 0u; q < 4u; q++) {
        if (p0 + 32u * q < call.P) {
          for (var i = lane; i < 1024u; i += 256u) {
            right[place(i)] = leaving_of(c, n0 + i / 32u, p0 + 32u * q + i % 32u);
          }
          workgroupBarrier();
          pulls[q] += product(lane);
          workgroupBarrier();
        }
      }
    }
    for (var q = 0u; q < 4u; q++) {
      for (var e = 0u; e < 4u; e++) {
        let half = e / 2u;
        let own = row + 16u * half;
        let p = p0 + 32u * q + lane % 16u + 16u * (e % 2u);
        share[half] += x_of(c, own, p) * pulls[q][e];
        if (inside(c, own) && p < call.P) {
          dx[step_at(c, own) * call.P + p] = sums[q][e] + fed[half] * pulls[q][e];
        }
      }
    }
  }
  let total = tail * across_row(lane, share);
  if (lane % 16u == 0u) {
    through[c.at * kThrough + row] = total.x;
    through[c.at * kThrough + row + 16u] = total.y;
  }
}

// dC of 32 tokens over the heads of a group, and for each head what its decay gets through the state that entered.
@compute @workgroup_size(256)
fn backward_C(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  if (index >= call.batch * call.G * chunk_count() * 2u) {
    return;
  }
  let l0 = index % 2u * 32u;
  let l = l0 + lane / 16u;
  let each = call.H / call.G;
  let first = index / 2u / chunk_count() % call.G * each;
  for (var n0 = 0u; n0 < call.N; n0 += kWidth) {
    var sums = array<vec4<f32>, 4>();
    for (var h = first; h < first + each; h++) {
      let c = group_chunk(index / 2u, h);
      for (var s0 = 0u; s0 <= l0; s0 += 32u) {
        let s = s0 + lane % 16u;
        let slope = weight_slopes(lane, c, l0, s0);
        keep(lane, slope * decays(c, l, s) * steps_of(c, s));
        for (var q = 0u; q < 4u; q++) {
          if (n0 + 32u * q < call.N) {
            for (var i = lane; i < 1024u; i += 256u) {
              right[place(i)] = B_of(c, s0 + i / 32u, n0 + 32u * q + i % 32u);
            }
            workgroupBarrier();
            sums[q] += product(lane);
            workgroupBarrier();
          }
        }
      }
      var reads = array<vec4<f32>, 4>();
      for (var p0 = 0u; p0 < call.P; p0 += 32u) {
        for (var i = lane; i < 1024u; i += 256u) {
          shares[place(i)] = rate(c, kReach + l0 + i / 32u) * dy_of(c, l0 + i / 32u, p0 + i % 32u);
        }
        for (var q = 0u; q < 4u; q++) {
          if (n0 + 32u * q < call.N) {
            for (var i = lane; i < 1024u; i += 256u) {
              right[i % 32u * kPitch + i / 32u] = entering_of(c, n0 + 32u * q + i / 32u, p0 + i % 32u);
            }
            workgroupBarrier();
            reads[q] += product(lane);
            workgroupBarrier();
          }
        }
      }
      var share = vec2<f32>(0.0);
      for (var q = 0u; q < 4u; q++) {
        sums[q] += reads[q];
        for (var e = 0u; e < 4u; e++) {
          share[e / 2u] += reads[q][e] * C_of(c, l + 16u * (e / 2u), n0 + 32u * q + lane % 16u + 16u * (e % 2u));
        }
      }
      let total = across_row(lane, share);
      if (lane % 16u == 0u) {
        let at = c.at * kThrough + kRead + l;
        through[at] = select(through[at], 0.0, n0 == 0u) + total.x;
        through[at + 16u] = select(through[at + 16u], 0.0, n0 == 0u) + total.y;
      }
    }
    let c = group_chunk(index / 2u, first);
    for (var q = 0u; q < 4u; q++) {
      for (var e = 0u; e < 4u; e++) {
        let own = l + 16u * (e / 2u);
        let n = n0 + 32u * q + lane % 16u + 16u * (e % 2u);
        if (inside(c, own) && n < call.N) {
          dC[map_at(c, own) * call.N + n] = sums[q][e];
        }
      }
    }
  }
}

// dB of 32 tokens over the heads of a group.
@compute @workgroup_size(256)
fn backward_B(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  if (index >= call.batch * call.G * chunk_count() * 2u) {
    return;
  }
  let s0 = index % 2u * 32u;
  let each = call.H / call.G;
  let first = index / 2u / chunk_count() % call.G * each;
  for (var n0 = 0u; n0 < call.N; n0 += kWidth) {
    var sums = array<vec4<f32>, 4>();
    for (var h = first; h < first + each; h++) {
      let c = group_chunk(index / 2u, h);
      for (var l0 = s0; l0 < 64u; l0 += 32u) {
        let s = s0 + lane % 16u;
        let slope = weight_slopes(lane, c, l0, s0);
        keep(lane, slope * decays(c, l0 + lane / 16u, s) * steps_of(c, s));
        for (var q = 0u; q < 4u; q++) {
          if (n0 + 32u * q < call.N) {
            for (var i = lane; i < 1024u; i += 256u) {
              right[place(i)] = C_of(c, l0 + i / 32u, n0 + 32u * q + i % 32u);
            }
            workgroupBarrier();
            sums[q] += product_across(lane);
            workgroupBarrier();
          }
        }
      }
      for (var p0 = 0u; p0 < call.P; p0 += 32u) {
        for (var i = lane; i < 1024u; i += 256u) {
          let s = s0 + i / 32u;
          shares[place(i)] = rate(c, kTail + s) * rate(c, kDt + s) * x_of(c, s, p0 + i % 32u);
        }
        for (var q = 0u; q < 4u; q++) {
          if (n0 + 32u * q < call.N) {
            for (var i = lane; i < 1024u; i += 256u) {
              right[i % 32u * kPitch + i / 32u] = leaving_of(c, n0 + 32u * q + i / 32u, p0 + i % 32u);
            }
            workgroupBarrier();
            sums[q] += product(lane);
            workgroupBarrier();
          }
        }
      }
    }
    let c = group_chunk(index / 2u, first);
    for (var q = 0u; q < 4u; q++) {
      for (var e = 0u; e < 4u; e++) {
        let own = s0 + lane / 16u + 16u * (e / 2u);
        let n = n0 + 32u * q + lane % 16u + 16u * (e % 2u);
        if (inside(c, own) && n < call.N) {
          dB[map_at(c, own) * call.N + n] = sums[q][e];
        }
      }
    }
  }
}

// total · dS·S0 of a chunk: what each of its decays gets through the state that it keeps.
@compute @workgroup_size(64)
fn kept(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let at = flat(group, groups);
  if (at >= call.batch * call.H * chunk_count()) {
    return;
  }
  let size = call.N * call.P;
  var sum = 0.0;
  for (var i = lane; i < size; i += 64u) {
    sum += leaving[at * size + i] * chunkStates[at * size + i];
  }
  let total = sum64(lane, sum);
  if (lane == 0u) {
    through[at * kThrough + kKept] = total * rates[at * kRates + kTotal];
  }
}

var<workgroup> direct: array<f32, 64>; // Σ_l of dW[l][s] W[l][s] / dt[s]
var<workgroup> pairs: array<f32, 64>; // Σ of dW W over pairs on both sides of a token, s < k <= l
var<workgroup> skips: array<f32, 64>; // dy[l]·x[l]

// dW W / dt of a tile into shares, and the diagonal of dW aside.
fn weigh(lane: u32, c: Chunk, l0: u32, s0: u32) {
  let l = l0 + lane / 16u;
  let s = s0 + lane % 16u;
  let gram = grams(lane, c, l0, s0);
  let slope = weight_slopes(lane, c, l0, s0);
  if (l == s) {
    skips[l] = slope.x;
    skips[l + 16u] = slope.w;
  }
  keep(lane, gram * slope * decays(c, l, s));
  workgroupBarrier();
}

// Sums column s of shares into direct, and turns it into sums of dt · shares from each row on, beginning with `begin`. Answers with the whole sum.
fn fold(column: u32, step: f32, begin: f32) -> vec2<f32> {
  var running = begin;
  var plain = 0.0;
  for (var back = 0u; back < 32u; back++) {
    let at = (31u - back) * kPitch + column;
    plain += shares[at];
    running += step * shares[at];
    shares[at] = running;
  }
  return vec2<f32>(plain, running);
}

// ddt of a chunk of one head, and its shares of dA and dD.
@compute @workgroup_size(256)
fn backward_dt(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let at = flat(group, groups);
  if (at >= call.batch * call.H * chunk_count()) {
    return;
  }
  let c = head_chunk(at);
  var carried = vec2<f32>(0.0); // of column `lane`, from the later tokens
  weigh(lane, c, 32u, 0u);
  if (lane < 32u) {
    carried = fold(lane, rate(c, kDt + lane), 0.0);
  }
  workgroupBarrier();
  if (lane < 32u) {
    var sum = 0.0;
    for (var s = 0u; s < 32u; s++) {
      sum += shares[lane * kPitch + s];
    }
    pairs[lane + 32u] = sum;
  }
  workgroupBarrier();
  for (var s0 = 0u; s0 < 64u; s0 += 32u) {
    weigh(lane, c, s0, s0);
    if (lane < 32u) {
      let sums = fold(lane, rate(c, kDt + s0 + lane), carried.y);
      direct[s0 + lane] = sums.x + carried.x;
      carried = vec2<f32>(0.0);
    }
    workgroupBarrier();
    if (lane < 32u) {
      var sum = 0.0;
      for (var s = 0u; s < lane; s++) {
        sum += shares[lane * kPitch + s];
      }
      pairs[s0 + lane] = select(pairs[s0 + lane], 0.0, s0 == 0u) + sum;
    }
    workgroupBarrier();
  }
  let base = at * kThrough;
  if (lane < 64u) {
    var slope = pairs[lane] + through[base + kKept];
    for (var s = 0u; s < lane; s++) {
      slope += rate(c, kDt + s) * through[base + s];
    }
    for (var l = lane; l < 64u; l++) {
      slope += through[base + kRead + l];
    }
    if (inside(c, lane)) {
      ddt[step_at(c, lane)] = direct[lane] + through[base + lane] + rate(c, kA) * slope;
    }
    pairs[lane] = slope * rate(c, kDt + lane);
  }
  workgroupBarrier();
  if (lane == 0u) {
    var sums = vec2<f32>(0.0);
    for (var l = 0u; l < 64u; l++) {
      sums += vec2<f32>(pairs[l], skips[l]);
    }
    parts[2u * at] = sums.x;
    parts[2u * at + 1u] = sums.y;
  }
}

// dA and dD of a head, over batch and chunks.
@compute @workgroup_size(64)
fn join(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let h = flat(group, groups);
  if (h >= call.H) {
    return;
  }
  var sums = vec2<f32>(0.0);
  for (var i = lane; i < call.batch * chunk_count(); i += 64u) {
    let at = (i / chunk_count() * call.H + h) * chunk_count() + i % chunk_count();
    sums += vec2<f32>(parts[2u * at], parts[2u * at + 1u]);
  }
  let first = sum64(lane, sums.x);
  let second = sum64(lane, sums.y);
  if (lane == 0u) {
    dA[h] = first;
    dD[h] = second;
  }
}
