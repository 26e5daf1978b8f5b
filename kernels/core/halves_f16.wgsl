// 16-bit floats, where the device has them (`shader-f16`).

alias half = f16;

// Rounded to nearest; what is beyond 65504 has no place here.
fn halves(u: vec2<f32>) -> vec2<half> {
  return vec2<half>(u);
}
