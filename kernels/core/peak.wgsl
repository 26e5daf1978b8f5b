// What a GPU could do at most: multiply-adds between registers. Each lane keeps eight strands of four numbers, so that none waits for the one before.

@group(0) @binding(0) var<storage, read_write> out: array<f32>; // a number a workgroup, so that nothing is left out
@group(0) @binding(1) var<uniform> rounds: vec4<u32>; // x: how many

@compute @workgroup_size(64)
fn multiply_add(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
  let factor = vec4(1.0 - f32(lane + 1u) * 1e-6);
  let term = vec4(1e-7, 2e-7, 3e-7, 4e-7) * f32(lane);
  var a = term;
  var b = term + 1.0;
  var c = term + 2.0;
  var d = term + 3.0;
  var e = term + 4.0;
  var f = term + 5.0;
  var g = term + 6.0;
  var h = term + 7.0;
  for (var i = 0u; i < rounds.x; i++) {
    a = a * factor + term;
    b = b * factor + term;
    c = c * factor + term;
    d = d * factor + term;
    e = e * factor + term;
    f = f * factor + term;
    g = g * factor + term;
    h = h * factor + term;
  }
  let all = (a + b) + (c + d) + ((e + f) + (g + h));
  if (all.x + all.y + all.z + all.w > 1e30 || lane == 0u) {
    out[group.x] = all.x;
  }
}
