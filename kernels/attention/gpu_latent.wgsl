// What latent attention does around the tiles of gpu.wgsl: keys put together of an own part and the shared one, which turns, and their gradients
// taken apart again.

@group(0) @binding(20) var<storage, read> kv: array<f32>; // [B, S, Hk, pitch], as dkv: a key's own part first, the value last
@group(0) @binding(21) var<storage, read> shared_in: array<f32>; // [B, S, d - own], as dshared
@group(0) @binding(22) var<storage, read_write> ks_out: array<f32>; // [B, S, Hk, d]
@group(0) @binding(23) var<storage, read_write> dkv: array<f32>;
@group(0) @binding(24) var<storage, read_write> dshared: array<f32>;

@compute @workgroup_size(256)
fn join_keys(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= call.B * call.S * call.Hk * call.d) {
    return;
  }
  let c = i % call.d;
  if (c < call.own) {
    ks_out[i] = kv[i / call.d * call.pitch + c];
    return;
  }
  let token = i / (call.d * call.Hk); // b S + s
  let at = token * (call.d - call.own) + c - call.own;
  var u = shared_in[at];
  if (turns(c)) {
    let by = turn(token % call.S, c);
    u = u * by.x + shared_in[partner(at, c)] * by.y;
  }
  ks_out[i] = u;
}

// The own part of a key's gradient goes to dkv, or, where key and value are tied, on top of what the value left there.
@compute @workgroup_size(256)
fn part_own(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= call.B * call.S * call.Hk * call.own) {
    return;
  }
  let c = i % call.own;
  let to = i / call.own * call.pitch + c;
  var u = dks[i / call.own * call.d + c];
  if (call.pitch == call.e) {
    u += dkv[to];
  }
  dkv[to] = u;
}

// The shared part sums over the heads, then turns back.
@compute @workgroup_size(256)
fn part_shared(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let width = call.d - call.own;
  let i = flat(group, groups) * 256u + lane;
  if (i >= call.B * call.S * width) {
    return;
  }
  let c = call.own + i % width;
  let first = i / width * call.Hk * call.d + c;
  var by = vec2<f32>(1.0, 0.0);
  var across = c;
  if (turns(c)) {
    by = turn(i / width % call.S, c);
    across = partner(c, c);
  }
  var sum = vec2<f32>(0.0);
  for (var g = 0u; g < call.Hk; g++) {
    let at = first + g * call.d;
    sum += vec2<f32>(dks[at], dks[at + across - c]);
  }
  dshared[i] = sum.x * by.x - sum.y * by.y;
}
