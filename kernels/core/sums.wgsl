// Sums and maxima over the lanes of a workgroup, by halves; where the device has subgroups, sums_subgroups.wgsl stands in for this. The result is the
// same in each lane, and all lanes must come here.

var<workgroup> lanes: array<f32, wide>;

fn sum_of(lane: u32, value: f32, count: u32) -> f32 {
  lanes[lane] = value;
  workgroupBarrier();
  for (var step = count / 2u; step > 0u; step /= 2u) {
    if (lane < step) {
      lanes[lane] += lanes[lane + step];
    }
    workgroupBarrier();
  }
  let sum = lanes[0];
  workgroupBarrier();
  return sum;
}
fn max_of(lane: u32, value: f32, count: u32) -> f32 {
  lanes[lane] = value;
  workgroupBarrier();
  for (var step = count / 2u; step > 0u; step /= 2u) {
    if (lane < step) {
      lanes[lane] = max(lanes[lane], lanes[lane + step]);
    }
    workgroupBarrier();
  }
  let most = lanes[0];
  workgroupBarrier();
  return most;
}
