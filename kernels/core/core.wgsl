// What all shaders share; the host puts it before each gpu.wgsl.

// Lanes of a workgroup, where the plan chooses: a power of two.
override wide: u32 = 64u;

// The flat index of a workgroup that the host spread over two dimensions.
fn flat(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}

fn sigmoid(u: f32) -> f32 {
  return 1.0 / (1.0 + exp(-clamp(u, -80.0, 80.0)));
}

fn silu(u: f32) -> f32 {
  return u * sigmoid(u);
}

// Derivative of silu.
fn silu_slope(u: f32) -> f32 {
  let open = sigmoid(u);
  return open * (1.0 + u * (1.0 - open));
}

// The hyperbolic tangent; WGSL promises no more than 1e-5 of its own. Near 0 a fraction of polynomials, as 1 - e would have few digits.
fn tangent(u: f32) -> f32 {
  if (abs(u) < 0.5) {
    let s = u * u;
    return u * (10395.0 + s * (1260.0 + s * 21.0)) / (10395.0 + s * (4725.0 + s * (210.0 + s)));
  }
  let e = exp(-2.0 * abs(u));
  return sign(u) * (1.0 - e) / (1.0 + e);
}

// ln(1 + u) for u from 0 to 1, as 2 artanh(z) with z <= 1/3: 1 + u would have lost what is small beside 1.
fn ln_1p(u: f32) -> f32 {
  let z = u / (2.0 + u);
  let s = z * z;
  return 2.0 * z * (1.0 + s * (1.0 / 3.0 + s * (0.2 + s * (1.0 / 7.0 + s * (1.0 / 9.0 + s * (1.0 / 11.0 + s * (1.0 / 13.0 + s / 15.0)))))));
}

fn ceil_div(count: u32, size: u32) -> u32 {
  return (count + size - 1u) / size;
}

// Sums and maxima over the lanes of a workgroup of 64, or of `wide`: see sums.wgsl.
fn sum64(lane: u32, value: f32) -> f32 {
  return sum_of(lane, value, 64u);
}
fn max64(lane: u32, value: f32) -> f32 {
  return max_of(lane, value, 64u);
}
fn sum_wide(lane: u32, value: f32) -> f32 {
  return sum_of(lane, value, wide);
}
fn max_wide(lane: u32, value: f32) -> f32 {
  return max_of(lane, value, wide);
}

// Products in tiles of 64 x 64 by 256 lanes: lane (y, x) of 16 x 16 sums rows y + 16 r and columns x + 16 c. Inner indices come in strips, which the
// lanes load into strip_a and strip_b, between barriers.
const kStripDeep = 16u;
const kStripPitch = 65u; // of an inner index: neighbours in a column fall into different banks
var<workgroup> strip_a: array<f32, kStripDeep * kStripPitch>; // [kStripDeep, rows]
var<workgroup> strip_b: array<f32, kStripDeep * kStripPitch>; // [kStripDeep, columns]
fn add_strip(lane: u32, sums: ptr<function, array<vec4<f32>, 4>>) {
  for (var p = 0u; p < kStripDeep; p++) {
    let down = p * kStripPitch + lane / 16u;
    let across = p * kStripPitch + lane % 16u;
    let b = vec4(strip_b[across], strip_b[across + 16u], strip_b[across + 32u], strip_b[across + 48u]);
    (*sums)[0] += strip_a[down] * b;
    (*sums)[1] += strip_a[down + 16u] * b;
    (*sums)[2] += strip_a[down + 32u] * b;
    (*sums)[3] += strip_a[down + 48u] * b;
  }
}
