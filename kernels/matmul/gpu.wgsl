// Products of matrices: by single lanes, by lanes that share one sum, and by tiles. Transposes are steps between numbers.

struct Product {
  present: u32, // bit 2: bias
  batch: u32,
  m: u32,
  n: u32,
  k: u32,
  a_matrix: u32, // steps
  a_row: u32,
  a_inner: u32,
  b_matrix: u32,
  b_inner: u32,
  b_column: u32,
  activation: u32,
}
@group(0) @binding(0) var<uniform> shape: Product;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>; // [n] or absent
@group(0) @binding(4) var<storage, read_write> product: array<f32>; // [batch, m, n]

fn finish(sum: f32, column: u32) -> f32 {
  var u = sum;
  if ((shape.present & 4u) != 0u) {
    u += bias[column];
  }
  switch shape.activation {
    case 1u: { return max(u, 0.0); }
    case 2u: { return clamp(u, 0.0, 6.0); }
    case 3u: { return select(exp(min(u, 0.0)) - 1.0, u, u >= 0.0); }
    case 4u: { return sigmoid(u); }
    default: { return u; }
  }
}

// Each lane: four numbers of one row.
@compute @workgroup_size(64)
fn direct(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let fours = ceil_div(shape.n, 4u);
  let i = flat(group, groups) * 64u + lane;
  if (i >= shape.batch * shape.m * fours) {
    return;
  }
  let column = (i % fours) * 4u;
  let row = i / fours;
  var at_a = (row / shape.m) * shape.a_matrix + (row % shape.m) * shape.a_row;
  var at_b = (row / shape.m) * shape.b_matrix + column * shape.b_column;
  let wide = min(4u, shape.n - column);
  // Columns past the last repeat it, so that nothing is read beside the matrix.
  let steps = min(vec4(0u, 1u, 2u, 3u), vec4(wide - 1u)) * shape.b_column;
  var sums = vec4(0.0);
  for (var p = 0u; p < shape.k; p++) {
    sums += a[at_a] * vec4(b[at_b + steps.x], b[at_b + steps.y], b[at_b + steps.z], b[at_b + steps.w]);
    at_a += shape.a_inner;
    at_b += shape.b_inner;
  }
  let to = row * shape.n + column;
  for (var j = 0u; j < wide; j++) {
    product[to + j] = finish(sums[j], column + j);
  }
}

// A workgroup: kStrip numbers of one row, each the sum of kSlices lanes.
const kStrip = 32u;
const kSlices = 8u;
var<workgroup> parts: array<f32, kStrip * kSlices>;

@compute @workgroup_size(256)
fn shared_sum(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let strips = ceil_div(shape.n, kStrip);
  let strip = flat(group, groups);
  let row = strip / strips;
  let column = (strip % strips) * kStrip + lane % kStrip;
  let here = row < shape.batch * shape.m && column < shape.n;
  var sum = 0.0;
  if (here) {
    let at_a = (row / shape.m) * shape.a_matrix + (row % shape.m) * shape.a_row;
    let at_b = (row / shape.m) * shape.b_matrix + column * shape.b_column;
    for (var p = lane / kStrip; p < shape.k; p += kSlices) {
      sum += a[at_a + p * shape.a_inner] * b[at_b + p * shape.b_inner];
    }
  }
  parts[lane] = sum;
  workgroupBarrier();
  if (here && lane < kStrip) {
    for (var slice = 1u; slice < kSlices; slice++) {
      sum += parts[slice * kStrip + lane];
    }
    product[row * shape.n + column] = finish(sum, column);
  }
}

// A workgroup: a tile of kTile rows and columns, 16 numbers a lane, from strips of kDeep inner indices in workgroup memory.
const kTile = 64u;
const kDeep = 16u;
var<workgroup> tile_a: array<f32, kDeep * kTile>; // [kDeep, rows]
var<workgroup> tile_b: array<f32, kDeep * kTile>; // [kDeep, columns]

// Where a lane's number of a strip lies, (inner index, row or column), so that neighbours read neighbours.
fn place(index: u32, inner_first: bool) -> vec2<u32> {
  return select(vec2(index / kTile, index % kTile), vec2(index % kDeep, index / kDeep), inner_first);
}

@compute @workgroup_size(256)
fn tiled(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let down = ceil_div(shape.m, kTile);
  let across = ceil_div(shape.n, kTile);
  let tile = flat(group, groups);
  let matrix = tile / (down * across);
  let first_row = tile / across % down * kTile;
  let first_column = tile % across * kTile;
  let real = matrix < shape.batch;
  let x = lane % 16u;
  let y = lane / 16u;
  var sums: array<vec4<f32>, 4>; // rows y + 16 r, columns x + 16 c
  for (var deep = 0u; deep < shape.k; deep += kDeep) {
    for (var i = lane; i < kDeep * kTile; i += 256u) {
      let at_a = place(i, shape.a_inner == 1u);
      let row = first_row + at_a.y;
      var value = 0.0;
      if (real && deep + at_a.x < shape.k && row < shape.m) {
        value = a[matrix * shape.a_matrix + row * shape.a_row + (deep + at_a.x) * shape.a_inner];
      }
      tile_a[at_a.x * kTile + at_a.y] = value;
      let at_b = place(i, shape.b_inner == 1u && shape.b_column != 1u);
      let column = first_column + at_b.y;
      value = 0.0;
      if (real && deep + at_b.x < shape.k && column < shape.n) {
        value = b[matrix * shape.b_matrix + (deep + at_b.x) * shape.b_inner + column * shape.b_column];
      }
      tile_b[at_b.x * kTile + at_b.y] = value;
    }
    workgroupBarrier();
    for (var p = 0u; p < kDeep; p++) {
      let over = p * kTile + x;
      let right = vec4(tile_b[over], tile_b[over + 16u], tile_b[over + 32u], tile_b[over + 48u]);
      let left = p * kTile + y;
      sums[0] += tile_a[left] * right;
      sums[1] += tile_a[left + 16u] * right;
      sums[2] += tile_a[left + 32u] * right;
      sums[3] += tile_a[left + 48u] * right;
    }
    workgroupBarrier();
  }
  if (!real) {
    return;
  }
  for (var r = 0u; r < 4u; r++) {
    let row = first_row + y + 16u * r;
    for (var c = 0u; c < 4u; c++) {
      let column = first_column + x + 16u * c;
      if (row < shape.m && column < shape.n) {
        product[(matrix * shape.m + row) * shape.n + column] = finish(sums[r][c], column);
      }
    }
  }
}
