// safetensors round trips, and each kind of broken file gets a sentence.
import { describe, expect, it } from 'vitest';
import { SpecError } from '../spec/error';
import { readSafetensors, writeSafetensors } from './safetensors';

/** A file with any header and any number of data bytes. */
function file(header: unknown, dataBytes: number, headerLength?: bigint): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, headerLength ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}
const f32 = (shape: unknown, from: unknown, to: unknown) => ({ dtype: 'F32', shape, data_offsets: [from, to] });

describe('safetensors', () => {
  it('gives back what was written: types, shapes, bits, metadata', () => {
    const odd = new Float32Array([Number.NaN, -0, Infinity, 1e-45, 3.5]);
    const bytes = writeSafetensors(
      [
        ['a/b', { shape: [5], data: odd }],
        ['scalar', { shape: [], data: new Float64Array([Math.PI]) }],
        ['ids', { shape: [3, 1], data: new Int32Array([1, -2, 2 ** 31 - 1]) }],
        ['nothing', { shape: [0, 4], data: new Float32Array(0) }],
        ['bytes', { shape: [3], data: new Uint8Array([0, 128, 255]) }],
        ['__proto__', { shape: [1], data: new Float32Array([7]) }],
      ],
      { step: '3' },
    );
    // Any place in memory will do.
    const shifted = Buffer.alloc(bytes.length + 3).subarray(3);
    shifted.set(bytes);
    const { tensors, metadata } = readSafetensors(shifted, 'x.safetensors');
    expect(metadata).toEqual({ step: '3' });
    expect([...tensors.keys()]).toEqual(
      expect.arrayContaining(['a/b', 'scalar', 'ids', 'nothing', 'bytes', '__proto__']),
    );
    expect(new Uint32Array(tensors.get('a/b')!.data.buffer)).toEqual(new Uint32Array(odd.buffer));
    expect(tensors.get('scalar')).toEqual({ shape: [], data: new Float64Array([Math.PI]) });
    expect(tensors.get('ids')).toEqual({ shape: [3, 1], data: new Int32Array([1, -2, 2 ** 31 - 1]) });
    expect(tensors.get('nothing')).toEqual({ shape: [0, 4], data: new Float32Array(0) });
    expect(tensors.get('bytes')!.data).toEqual(new Uint8Array([0, 128, 255]));
    expect(tensors.get('__proto__')!.data).toEqual(new Float32Array([7]));
  });

  const broken: [string, Uint8Array, RegExp][] = [
    ['too short', new Uint8Array(5), /5 bytes are too few/],
    [
      'a header longer than the file',
      file('{}', 0, 1_000n),
      /a header of 1000 bytes does not fit: the file has 10 bytes/,
    ],
    ['a header of 2^63 bytes', file('{}', 0, 2n ** 63n), /does not fit/],
    ['no JSON', file('{"a":', 4), /not a JSON object/],
    ['a list', file('[]', 0), /not a JSON object/],
    ['broken UTF-8', file('{"\u00ff"}', 0).fill(0xff, 9, 10), /not a JSON object/],
    ['metadata that is not text', file({ __metadata__: { a: 1 } }, 0), /__metadata__ is not a map/],
    ['an entry that is no object', file({ w: 3 }, 0), /tensor "w": its entry/],
    [
      'an unknown type',
      file({ w: { dtype: 'F8', shape: [1], data_offsets: [0, 1] } }, 1),
      /tensor "w": type "F8" is not read/,
    ],
    ['a type from the prototype', file({ w: { dtype: 'toString', shape: [], data_offsets: [0, 1] } }, 1), /not read/],
    ['a negative size', file({ w: f32([-1], 0, 4) }, 4), /tensor "w": its shape/],
    ['a broken size', file({ w: f32([1.5], 0, 4) }, 4), /its shape/],
    ['too many axes', file({ w: f32(new Array(99).fill(1), 0, 4) }, 4), /at most 16/],
    [
      'a shape whose product overflows',
      file({ w: f32([2 ** 50, 2 ** 50], 0, 4) }, 4),
      /wants .* bytes, the file gives 4/,
    ],
    ['offsets outside the data', file({ w: f32([2], 0, 8) }, 4), /bytes 0 to 8 lie outside the 4 bytes/],
    ['offsets that run backwards', file({ w: f32([0], 4, 0) }, 4), /lie outside/],
    ['offsets that are no pair', file({ w: { dtype: 'F32', shape: [1], data_offsets: [0] } }, 4), /not a pair/],
    ['too few bytes for the shape', file({ w: f32([2], 0, 4) }, 4), /shape \[2\] wants 8 bytes, the file gives 4/],
    ['overlapping tensors', file({ a: f32([2], 0, 8), b: f32([1], 4, 8) }, 8), /tensor "b" begins at byte 4/],
    ['a gap', file({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12), /tensor "b" begins at byte 8/],
    ['bytes that nobody owns', file({ a: f32([1], 0, 4) }, 8), /fill 4 bytes of data, the file has 8/],
  ];
  for (const [name, bytes, message] of broken)
    it(`refuses ${name}`, () => {
      const read = () => readSafetensors(bytes, 'bad.safetensors');
      expect(read).toThrow(SpecError);
      expect(read).toThrow(message);
      expect(read).toThrow(/^bad\.safetensors: /);
    });
});
