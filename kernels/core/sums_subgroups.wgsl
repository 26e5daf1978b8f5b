// Sums and maxima over the lanes of a workgroup, by subgroups: two barriers for any number of lanes. Nothing is taken for granted of which lanes make
// a subgroup, nor that all subgroups are of one size: each adds up what all of them left.

var<workgroup> lanes: array<f32, wide>;

fn sum_of(lane: u32, value: f32, count: u32) -> f32 {
  let own = subgroupAdd(value);
  lanes[lane] = select(0.0, own, subgroupElect());
  workgroupBarrier();
  let together = subgroupAdd(1u);
  let place = subgroupExclusiveAdd(1u);
  var share = 0.0;
  for (var taken = 0u; taken < count; taken += together) {
    share += select(0.0, lanes[min(taken + place, count - 1u)], taken + place < count);
  }
  let sum = subgroupAdd(share);
  workgroupBarrier();
  return sum;
}
fn max_of(lane: u32, value: f32, count: u32) -> f32 {
  lanes[lane] = subgroupMax(value);
  workgroupBarrier();
  let together = subgroupAdd(1u);
  let place = subgroupExclusiveAdd(1u);
  var most = lanes[0];
  for (var taken = 0u; taken < count; taken += together) {
    most = max(most, lanes[min(taken + place, count - 1u)]);
  }
  most = subgroupMax(most);
  workgroupBarrier();
  return most;
}
