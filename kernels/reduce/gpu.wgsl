// Sum, mean, maximum, minimum or product along the middle one of three axes.

struct Reduce {
  present: u32,
  outer: u32,
  n: u32,
  inner: u32,
  kind: u32, // its place in kernel.ts's list
}
@group(0) @binding(0) var<uniform> axis: Reduce;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [outer, n, inner]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [outer, inner]

const kMax = 2u;
const kMin = 3u;
const kProduct = 4u;

// Compilers may take it that no float is NaN, so its bits are asked.
fn is_nan(u: f32) -> bool {
  return (bitcast<u32>(u) & 0x7fffffffu) > 0x7f800000u;
}

fn joined(u: f32, v: f32) -> f32 {
  switch axis.kind {
    case kMax: { return select(select(u, v, v > u && !is_nan(u)), v, is_nan(v)); }
    case kMin: { return select(select(u, v, v < u && !is_nan(u)), v, is_nan(v)); }
    case kProduct: { return u * v; }
    default: { return u + v; }
  }
}

fn finished(u: f32) -> f32 {
  return select(u, u / f32(axis.n), axis.kind == 1u);
}

// Numbers first, first + step .. of result i, joined in four strands.
fn strands(i: u32, first: u32, step: u32) -> f32 {
  let start = i / axis.inner * axis.n * axis.inner + i % axis.inner;
  var four: vec4<f32>;
  let begun = min(4u, ceil_div(axis.n - first, step));
  for (var s = 0u; s < begun; s++) {
    four[s] = x[start + (first + s * step) * axis.inner];
  }
  var s = 0u;
  for (var p = first + 4u * step; p < axis.n; p += step) {
    four[s] = joined(four[s], x[start + p * axis.inner]);
    s = (s + 1u) % 4u;
  }
  var all = four[0];
  for (s = 1u; s < begun; s++) {
    all = joined(all, four[s]);
  }
  return all;
}

@compute @workgroup_size(64)
fn each_alone(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 64u + lane;
  if (i < axis.outer * axis.inner) {
    y[i] = finished(strands(i, 0u, 1u));
  }
}

// n is at least 64 here, so that each lane has a number.
@compute @workgroup_size(64)
fn each_by_64(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups);
  if (i >= axis.outer * axis.inner) {
    return;
  }
  let own = strands(i, lane, 64u);
  if (axis.kind < kMax) {
    let sum = sum64(lane, own);
    if (lane == 0u) {
      y[i] = finished(sum);
    }
    return;
  }
  lanes[lane] = own;
  workgroupBarrier();
  for (var step = 32u; step > 0u; step /= 2u) {
    if (lane < step) {
      lanes[lane] = joined(lanes[lane], lanes[lane + step]);
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    y[i] = finished(lanes[0]);
  }
}
