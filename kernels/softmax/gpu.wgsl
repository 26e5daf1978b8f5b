// Softmax of rows.

struct Softmax {
  present: u32,
  rows: u32,
  width: u32,
}
@group(0) @binding(0) var<uniform> shape: Softmax;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [rows, width]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn row_alone(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups) * 64u + lane;
  if (row >= shape.rows) {
    return;
  }
  let start = row * shape.width;
  var most = x[start];
  for (var j = 1u; j < shape.width; j++) {
    most = max(most, x[start + j]);
  }
  var sum = 0.0;
  for (var j = 0u; j < shape.width; j++) {
    let e = exp(x[start + j] - most);
    y[start + j] = e;
    sum += e;
  }
  for (var j = 0u; j < shape.width; j++) {
    y[start + j] /= sum;
  }
}

@compute @workgroup_size(wide)
fn row_together(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let row = flat(group, groups);
  if (row >= shape.rows) {
    return;
  }
  let start = row * shape.width;
  var most = x[start];
  for (var j = lane; j < shape.width; j += wide) {
    most = max(most, x[start + j]);
  }
  most = max_wide(lane, most);
  var sum = 0.0;
  for (var j = lane; j < shape.width; j += wide) {
    let e = exp(x[start + j] - most);
    y[start + j] = e;
    sum += e;
  }
  sum = sum_wide(lane, sum);
  for (var j = lane; j < shape.width; j += wide) {
    y[start + j] /= sum;
  }
}
