// What all shaders share; the host puts it before each gpu.wgsl.

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

fn ceil_div(count: u32, size: u32) -> u32 {
  return (count + size - 1u) / size;
}

// Sum over the 64 lanes of a workgroup, the same in each. All lanes must come here.
var<workgroup> lanes: array<f32, 64>;
fn sum64(lane: u32, value: f32) -> f32 {
  lanes[lane] = value;
  workgroupBarrier();
  for (var step = 32u; step > 0u; step /= 2u) {
    if (lane < step) {
      lanes[lane] += lanes[lane + step];
    }
    workgroupBarrier();
  }
  let sum = lanes[0];
  workgroupBarrier();
  return sum;
}

fn max64(lane: u32, value: f32) -> f32 {
  lanes[lane] = value;
  workgroupBarrier();
  for (var step = 32u; step > 0u; step /= 2u) {
    if (lane < step) {
      lanes[lane] = max(lanes[lane], lanes[lane + step]);
    }
    workgroupBarrier();
  }
  let most = lanes[0];
  workgroupBarrier();
  return most;
}
