// Embedding look-up. Its gradient sorts the places by id, each finding its own rank, so that every table row adds its places in their order: no
// atomics, the same bits each time. An id outside the vocabulary cannot be thrown from here: it looks up NaN and gets no gradient.

struct Call {
  present: u32,
  V: u32,
  D: u32,
  count: u32,
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> table: array<f32>; // [V, D], as dtable
@group(0) @binding(2) var<storage, read> ids: array<i32>; // [count]
@group(0) @binding(3) var<storage, read> dy: array<f32>; // [count, D], as y
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> order: array<u32>; // [count], places by id, then by place
@group(0) @binding(6) var<storage, read_write> sorted: array<i32>; // [count], their ids
@group(0) @binding(7) var<storage, read_write> dtable: array<f32>;

@compute @workgroup_size(256)
fn look_up(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= call.count * call.D) {
    return;
  }
  let id = ids[i / call.D];
  if (id >= 0 && id < i32(call.V)) {
    y[i] = table[u32(id) * call.D + i % call.D];
  } else {
    y[i] = bitcast<f32>(0x7fc00000u | call.V); // NaN
  }
}

var<workgroup> others: array<i32, 256>;

// The rank of a place is the number of places that come before it: count² / 2 comparisons in all, 256 ids at a time.
@compute @workgroup_size(256)
fn rank(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  let id = ids[min(i, call.count - 1u)];
  var before = 0u;
  for (var base = 0u; base < call.count; base += 256u) {
    others[lane] = ids[min(base + lane, call.count - 1u)];
    workgroupBarrier();
    for (var j = 0u; j < min(256u, call.count - base); j++) {
      before += select(0u, 1u, others[j] < id || (others[j] == id && base + j < i));
    }
    workgroupBarrier();
  }
  if (i < call.count) {
    order[before] = i;
    sorted[before] = id;
  }
}

// The first position whose id is not below `id`.
fn lower_bound(id: i32) -> u32 {
  var low = 0u;
  var high = call.count;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (sorted[middle] < id) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  return low;
}

// One invocation a column, one workgroup 64 columns of a table row.
@compute @workgroup_size(64)
fn add(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let across = ceil_div(call.D, 64u);
  let index = flat(group, groups);
  let id = index / across;
  let j = index % across * 64u + lane;
  if (id >= call.V || j >= call.D) {
    return;
  }
  let past = lower_bound(i32(id) + 1);
  var sum = 0.0;
  for (var at = lower_bound(i32(id)); at < past; at++) {
    sum += dy[order[at] * call.D + j];
  }
  dtable[id * call.D + j] = sum;
}
