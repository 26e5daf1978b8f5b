// Tiles in 16-bit floats, where the device has them: products of inputs that are rounded to bfloat16. One module with gpu.wgsl, whose tiles it uses.
//
// An f16 has 11 significant bits, so it holds the 8 of a bfloat16; what it lacks is range, and gradients lie anywhere. So each panel, the 64 rows of a
// tile of a or the 64 columns of one of b, is scaled by a power of two that brings its largest number to 2^14 or a little more. Then all bfloat16s down
// to 2^-31 of the largest are exact, and of smaller ones no more is lost than 2^-39 of it: far below what float32 sums round away. Multiply-adds are
// float32, and the result is scaled back.
// Where a device has no f16, nothing here runs but in tests, on the same values in 32 bits.

@group(0) @binding(5) var<storage, read_write> factors: array<f32>; // [batch, panels of a's rows, then of b's columns]

var<workgroup> halves_a: array<vec2<half>, kDeep * kTile>; // [kDeep, rows]: inner indices 2 p and 2 p + 1
var<workgroup> halves_b: array<vec2<half>, kDeep * kTile>; // [kDeep, columns]

fn panels() -> vec2<u32> {
  return vec2(ceil_div(shape.m, kTile), ceil_div(shape.n, kTile));
}

// The factor of a panel. Infinity and NaN stay what they are under any.
@compute @workgroup_size(wide)
fn scale_panels(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let index = flat(group, groups);
  let all = panels().x + panels().y;
  let panel = index % all;
  let of_a = panel < panels().x;
  let tile = Tile(index / all, panel * kTile, (panel - panels().x) * kTile, index / all < shape.batch);
  // Neighbours read neighbours.
  let along = select(shape.b_inner, shape.a_inner, of_a) == 1u;
  var most = 0.0;
  for (var i = lane; i < kTile * shape.k; i += wide) {
    let line = select(i % kTile, i / shape.k, along);
    let p = select(i / kTile, i % shape.k, along);
    if (of_a) {
      most = max(most, abs(a_at(tile, line, p)));
    } else {
      most = max(most, abs(b_at(tile, p, line)));
    }
  }
  most = max_wide(lane, most);
  if (lane == 0u && tile.real) {
    // The power of two by its exponent, so that both it and its inverse are normal numbers.
    let exponent = bitcast<u32>(most) >> 23u;
    factors[index] = bitcast<f32>(clamp(268u - exponent, 14u, 240u) << 23u);
  }
}

fn scaled_pair(first: f32, second: f32, factor: f32) -> vec2<half> {
  let rounded = bitcast<vec2<f32>>(vec2(upper_half(first), upper_half(second)));
  return halves(rounded * factor);
}

@compute @workgroup_size(256)
fn tiled_halves(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let tile = tile_of(flat(group, groups));
  let x = lane % 16u;
  let y = lane / 16u;
  var factor_a = 1.0;
  var factor_b = 1.0;
  if (tile.real) {
    let first = tile.matrix * (panels().x + panels().y);
    factor_a = factors[first + tile.row / kTile];
    factor_b = factors[first + panels().x + tile.column / kTile];
  }
  var sums: array<vec4<f32>, 4>;
  for (var deep = 0u; deep < shape.k; deep += 2u * kDeep) {
    for (var i = lane; i < kDeep * kTile; i += 256u) {
      let left = place(i, shape.a_inner == 1u);
      let p = deep + 2u * left.x;
      halves_a[left.x * kTile + left.y] = scaled_pair(a_at(tile, left.y, p), a_at(tile, left.y, p + 1u), factor_a);
      let right = place(i, shape.b_inner == 1u && shape.b_column != 1u);
      let q = deep + 2u * right.x;
      halves_b[right.x * kTile + right.y] = scaled_pair(b_at(tile, q, right.y), b_at(tile, q + 1u, right.y), factor_b);
    }
    workgroupBarrier();
    for (var p = 0u; p < kDeep; p++) {
      let across = p * kTile + x;
      let down = p * kTile + y;
      let one = halves_b[across];
      let two = halves_b[across + 16u];
      let three = halves_b[across + 32u];
      let four = halves_b[across + 48u];
      let even = vec4<f32>(vec4<half>(one.x, two.x, three.x, four.x));
      let odd = vec4<f32>(vec4<half>(one.y, two.y, three.y, four.y));
      for (var r = 0u; r < 4u; r++) {
        let own = vec2<f32>(halves_a[down + 16u * r]);
        sums[r] += own.x * even + own.y * odd;
      }
    }
    workgroupBarrier();
  }
  // The smaller inverse first: the other way a large one could leave float32's range.
  let inverses = vec2(1.0 / factor_a, 1.0 / factor_b);
  for (var r = 0u; r < 4u; r++) {
    sums[r] = sums[r] * min(inverses.x, inverses.y) * max(inverses.x, inverses.y);
  }
  put(tile, x, y, sums);
}
