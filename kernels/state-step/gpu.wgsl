// One token of a linear recurrence: the state decays and takes in an outer product in place, and what is read of it is summed by lanes that share it.

struct Outer {
  present: u32, // bit 4: keep
  batch: u32,
  groups: u32,
  heads: u32,
  keys: u32,
  values: u32,
  keeps: u32, // numbers of keep a group: 1 or all keys
}
struct Space {
  present: u32, // bit 6: D
  batch: u32,
  groups: u32,
  heads: u32,
  width: u32,
  states: u32,
}
@group(0) @binding(0) var<uniform> outer: Outer;
@group(0) @binding(0) var<uniform> space: Space;
@group(0) @binding(1) var<storage, read_write> s: array<f32>; // [batch, groups, keys, values] or [batch, heads, width, states]
@group(0) @binding(2) var<storage, read> q: array<f32>; // [batch, heads, keys]
@group(0) @binding(3) var<storage, read> k: array<f32>; // [batch, groups, keys]
@group(0) @binding(4) var<storage, read> v: array<f32>; // [batch, groups, values]
@group(0) @binding(5) var<storage, read> keep: array<f32>; // [batch, groups, keeps]
@group(0) @binding(6) var<storage, read> x: array<f32>; // [batch, heads, width]
@group(0) @binding(7) var<storage, read> dt: array<f32>; // [batch, heads]
@group(0) @binding(8) var<storage, read> A: array<f32>; // [heads], as D
@group(0) @binding(9) var<storage, read> B: array<f32>; // [batch, groups, states], as C
@group(0) @binding(10) var<storage, read> C: array<f32>;
@group(0) @binding(11) var<storage, read> D: array<f32>;
@group(0) @binding(12) var<storage, read_write> y: array<f32>; // [batch, heads, values] or [batch, heads, width]

const kValues = 32u;
const kRows = 8u;
var<workgroup> parts: array<f32, 256>;

fn keep_of(which: u32, key: u32) -> f32 {
  if ((outer.present & 16u) == 0u) {
    return 1.0;
  }
  return keep[which * outer.keeps + select(key, 0u, outer.keeps == 1u)];
}

// A workgroup: kValues value channels of one state, their keys in eight slices. `index` counts states over batch and groups.
@compute @workgroup_size(256)
fn outer_step(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let across = ceil_div(outer.values, kValues);
  let which = flat(group, groups) / across;
  if (which >= outer.batch * outer.groups) {
    return;
  }
  let value = flat(group, groups) % across * kValues + lane % kValues;
  let here = value < outer.values;
  if (here) {
    let write = v[which * outer.values + value];
    for (var key = lane / kValues; key < outer.keys; key += 8u) {
      let at = (which * outer.keys + key) * outer.values + value;
      s[at] = keep_of(which, key) * s[at] + k[which * outer.keys + key] * write;
    }
  }
  let readers = outer.heads / outer.groups;
  for (var reader = 0u; reader < readers; reader++) {
    let head = which / outer.groups * outer.heads + which % outer.groups * readers + reader;
    var sum = 0.0;
    if (here) {
      for (var key = lane / kValues; key < outer.keys; key += 8u) {
        sum += q[head * outer.keys + key] * s[(which * outer.keys + key) * outer.values + value];
      }
    }
    parts[lane] = sum;
    workgroupBarrier();
    if (here && lane < kValues) {
      for (var slice = 1u; slice < 8u; slice++) {
        sum += parts[slice * kValues + lane];
      }
      y[head * outer.values + value] = sum;
    }
    workgroupBarrier();
  }
}

// A workgroup: kRows rows of a head's state, each by 32 lanes.
@compute @workgroup_size(256)
fn ssd_step(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let across = ceil_div(space.width, kRows);
  let which = flat(group, groups) / across; // over batch and heads
  if (which >= space.batch * space.heads) {
    return;
  }
  let head = which % space.heads;
  let own = (which / space.heads * space.groups + head * space.groups / space.heads) * space.states;
  let row = flat(group, groups) % across * kRows + lane / 32u;
  var sum = 0.0;
  if (row < space.width) {
    let decay = exp(dt[which] * A[head]);
    let write = dt[which] * x[which * space.width + row];
    for (var n = lane % 32u; n < space.states; n += 32u) {
      let at = (which * space.width + row) * space.states + n;
      let state = decay * s[at] + write * B[own + n];
      s[at] = state;
      sum += state * C[own + n];
    }
  }
  parts[lane] = sum;
  workgroupBarrier();
  if (row < space.width && lane % 32u == 0u) {
    for (var other = 1u; other < 32u; other++) {
      sum += parts[lane + other];
    }
    let at = which * space.width + row;
    if ((space.present & 64u) != 0u) {
      sum += D[head] * x[at];
    }
    y[at] = sum;
  }
}
