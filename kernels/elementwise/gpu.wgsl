// Sine and cosine to float32's precision: quarter turns taken off, then polynomials on [-π/4, π/4].

struct Wave {
  present: u32,
  n: u32,
  cosine: u32,
}
@group(0) @binding(0) var<uniform> shape: Wave;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// π/2 in three parts (Cody and Waite): the first two have so few bits that their products with the count of quarters are exact.
const kQuarter = vec3(1.5703125, 4.83751296997070312e-4, 7.54978995489188216e-8);

@compute @workgroup_size(256)
fn wave(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = flat(group, groups) * 256u + lane;
  if (i >= shape.n) {
    return;
  }
  let quarters = round(x[i] * 0.63661977236758134);
  let r = ((x[i] - quarters * kQuarter.x) - quarters * kQuarter.y) - quarters * kQuarter.z;
  let s = r * r;
  // Taylor's series; the first terms left out are below 2e-9.
  let sine = r + r * s * (-1.6666666667e-1 + s * (8.3333333333e-3 + s * (-1.9841269841e-4 + s * 2.7557319224e-6)));
  let cosine = 1.0 + s * (-0.5 + s * (4.1666666667e-2 + s * (-1.3888888889e-3 + s * (2.4801587302e-5 - s * 2.7557319224e-7))));
  let turn = (i32(quarters) + i32(shape.cosine)) & 3;
  let value = select(sine, cosine, (turn & 1) == 1);
  y[i] = select(value, -value, turn >= 2);
}
