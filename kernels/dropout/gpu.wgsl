// Dropout by Philox4x32-10, one invocation a counter, which gives the words of four neighbours.

struct Call {
  present: u32,
  count: u32,
  row: u32, // numbers a row of the batch
  seed: u32,
  site: u32,
  threshold: u32,
  scale: f32,
}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [B, ..], as dy, y and dx
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> counter: array<i32>; // step, first row
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

// A product of 32-bit numbers as its high and low half.
fn product(a: u32, b: u32) -> vec2<u32> {
  let a1 = a >> 16u;
  let a0 = a & 0xffffu;
  let b1 = b >> 16u;
  let b0 = b & 0xffffu;
  let middle = a1 * b0 + ((a0 * b0) >> 16u);
  let other = a0 * b1 + (middle & 0xffffu);
  return vec2<u32>(a1 * b1 + (middle >> 16u) + (other >> 16u), a * b);
}

fn philox(first: vec4<u32>, seed: u32) -> vec4<u32> {
  var c = first;
  var k = vec2<u32>(seed, 0u);
  for (var round = 0u; round < 10u; round++) {
    let a = product(0xD2511F53u, c.x);
    let b = product(0xCD9E8D57u, c.z);
    c = vec4<u32>(b.x ^ c.y ^ k.x, b.y, a.x ^ c.w ^ k.y, a.y);
    k += vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
  }
  return c;
}

// The words of the four numbers of which the invocation's first is number `first` of x (it may lie before x), and that number.
struct Four {
  words: vec4<u32>,
  first: i32,
}

fn four(index: u32) -> Four {
  // Place of x's first number in the whole batch, high and low half.
  let start = product(u32(counter[1]), call.row);
  let skip = start.y & 3u;
  let low = ((start.x & 3u) << 30u) | (start.y >> 2u);
  let at = low + index;
  let carry = select(0u, 1u, at < low);
  let counters = vec4<u32>(at, (start.x >> 2u) + carry, u32(counter[0]), call.site);
  return Four(philox(counters, call.seed), i32(4u * index) - i32(skip));
}

@compute @workgroup_size(256)
fn forward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let f = four(flat(group, groups) * 256u + lane);
  for (var j = 0; j < 4; j++) {
    let i = f.first + j;
    if (i >= 0 && i < i32(call.count)) {
      y[i] = select(0.0, x[i] * call.scale, f.words[j] >= call.threshold);
    }
  }
}

@compute @workgroup_size(256)
fn backward(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let f = four(flat(group, groups) * 256u + lane);
  for (var j = 0; j < 4; j++) {
    let i = f.first + j;
    if (i >= 0 && i < i32(call.count)) {
      dx[i] = select(0.0, dy[i] * call.scale, f.words[j] >= call.threshold);
    }
  }
}
