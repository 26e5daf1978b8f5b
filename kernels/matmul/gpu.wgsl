// Products of matrices: by single lanes, by lanes that share one sum, and by tiles. Transposes are steps between numbers. Where inputs are rounded
// to bfloat16, tiles hold pairs of them: half the memory. gpu_halves.wgsl, of one module with this, does the same in 16-bit floats.

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
  rounded: u32,
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

// The bits of the nearest bfloat16 in the upper half; infinity and NaN stay what they are.
fn upper_half(u: f32) -> u32 {
  let bits = bitcast<u32>(u);
  let nearest = bits + 0x7fffu + ((bits >> 16u) & 1u);
  return select(nearest, bits, (bits & 0x7f800000u) == 0x7f800000u) & 0xffff0000u;
}
fn input(u: f32) -> f32 {
  return select(u, bitcast<f32>(upper_half(u)), shape.rounded != 0u);
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
    sums += input(a[at_a]) * vec4(
      input(b[at_b + steps.x]),
      input(b[at_b + steps.y]),
      input(b[at_b + steps.z]),
      input(b[at_b + steps.w]),
    );
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
      sum += input(a[at_a + p * shape.a_inner]) * input(b[at_b + p * shape.b_inner]);
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

// The tile of a workgroup: its matrix, first row and first column. Those past the last matrix have nothing to do but wait with the others.
struct Tile {
  matrix: u32,
  row: u32,
  column: u32,
  real: bool,
}
fn tile_of(index: u32) -> Tile {
  let down = ceil_div(shape.m, kTile);
  let across = ceil_div(shape.n, kTile);
  let matrix = index / (down * across);
  return Tile(matrix, index / across % down * kTile, index % across * kTile, matrix < shape.batch);
}
// 0 past the edges.
fn a_at(tile: Tile, row: u32, p: u32) -> f32 {
  if (!tile.real || p >= shape.k || tile.row + row >= shape.m) {
    return 0.0;
  }
  return a[tile.matrix * shape.a_matrix + (tile.row + row) * shape.a_row + p * shape.a_inner];
}
fn b_at(tile: Tile, p: u32, column: u32) -> f32 {
  if (!tile.real || p >= shape.k || tile.column + column >= shape.n) {
    return 0.0;
  }
  return b[tile.matrix * shape.b_matrix + p * shape.b_inner + (tile.column + column) * shape.b_column];
}
// A lane's sums: rows y + 16 r, columns x + 16 c of the tile.
fn put(tile: Tile, x: u32, y: u32, sums: array<vec4<f32>, 4>) {
  for (var r = 0u; r < 4u; r++) {
    let row = tile.row + y + 16u * r;
    for (var c = 0u; c < 4u; c++) {
      let column = tile.column + x + 16u * c;
      if (tile.real && row < shape.m && column < shape.n) {
        product[(tile.matrix * shape.m + row) * shape.n + column] = finish(sums[r][c], column);
      }
    }
  }
}

@compute @workgroup_size(256)
fn tiled(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let tile = tile_of(flat(group, groups));
  let x = lane % 16u;
  let y = lane / 16u;
  var sums: array<vec4<f32>, 4>;
  for (var deep = 0u; deep < shape.k; deep += kDeep) {
    for (var i = lane; i < kDeep * kTile; i += 256u) {
      let left = place(i, shape.a_inner == 1u);
      tile_a[left.x * kTile + left.y] = a_at(tile, left.y, deep + left.x);
      let right = place(i, shape.b_inner == 1u && shape.b_column != 1u);
      tile_b[right.x * kTile + right.y] = b_at(tile, deep + right.x, right.y);
    }
    workgroupBarrier();
    for (var p = 0u; p < kDeep; p++) {
      let across = p * kTile + x;
      let down = p * kTile + y;
      let right = vec4(tile_b[across], tile_b[across + 16u], tile_b[across + 32u], tile_b[across + 48u]);
      sums[0] += tile_a[down] * right;
      sums[1] += tile_a[down + 16u] * right;
      sums[2] += tile_a[down + 32u] * right;
      sums[3] += tile_a[down + 48u] * right;
    }
    workgroupBarrier();
  }
  put(tile, x, y, sums);
}

// The same in pairs of bfloat16: inner indices 2 p in the lower half of a word, 2 p + 1 in the upper.
var<workgroup> pairs_a: array<u32, kDeep * kTile>; // [kDeep, rows]
var<workgroup> pairs_b: array<u32, kDeep * kTile>; // [kDeep, columns]

fn pair(first: f32, second: f32) -> u32 {
  return (upper_half(first) >> 16u) | upper_half(second);
}
fn firsts(words: vec4<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(words << vec4(16u));
}
fn seconds(words: vec4<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(words & vec4(0xffff0000u));
}

@compute @workgroup_size(256)
fn tiled_pairs(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let tile = tile_of(flat(group, groups));
  let x = lane % 16u;
  let y = lane / 16u;
  var sums: array<vec4<f32>, 4>;
  for (var deep = 0u; deep < shape.k; deep += 2u * kDeep) {
    for (var i = lane; i < kDeep * kTile; i += 256u) {
      let left = place(i, shape.a_inner == 1u);
      let p = deep + 2u * left.x;
      pairs_a[left.x * kTile + left.y] = pair(a_at(tile, left.y, p), a_at(tile, left.y, p + 1u));
      let right = place(i, shape.b_inner == 1u && shape.b_column != 1u);
      let q = deep + 2u * right.x;
      pairs_b[right.x * kTile + right.y] = pair(b_at(tile, q, right.y), b_at(tile, q + 1u, right.y));
    }
    workgroupBarrier();
    for (var p = 0u; p < kDeep; p++) {
      let across = p * kTile + x;
      let down = p * kTile + y;
      let right = vec4(pairs_b[across], pairs_b[across + 16u], pairs_b[across + 32u], pairs_b[across + 48u]);
      let left = vec4(pairs_a[down], pairs_a[down + 16u], pairs_a[down + 32u], pairs_a[down + 48u]);
      let even = firsts(left);
      let odd = seconds(left);
      for (var r = 0u; r < 4u; r++) {
        sums[r] += even[r] * firsts(right) + odd[r] * seconds(right);
      }
    }
    workgroupBarrier();
  }
  put(tile, x, y, sums);
}
