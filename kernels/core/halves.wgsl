// Stands in for halves_f16.wgsl where a device has no 16-bit floats: the same values in 32 bits, for tests of shaders that use them.

alias half = f32;

fn halves(u: vec2<f32>) -> vec2<half> {
  return unpack2x16float(pack2x16float(u));
}
