// The small numbers of dispatches: packed as TF.js's shaders declare them, and kept on the GPU by content, since each step asks for the same.

/** A field of the uniform that TF.js builds for its programs. */
export interface Field {
  type: string;
  data: readonly number[];
}

/** WGSL's alignment of a scalar or vector of so many numbers; TF.js has its own 5 and 6. */
const alignmentOf = (length: number): number => (length === 1 ? 4 : length === 2 ? 8 : 16);

/** The fields as bytes, laid out as TF.js's shaders declare them. */
export function pack(fields: readonly Field[]): ArrayBuffer {
  let at = 0;
  let widest = 4;
  let longBefore = false;
  const placed = fields.map(({ type, data }) => {
    const numbers = data.length === 0 ? [1] : data;
    const alignment = longBefore ? 16 : alignmentOf(numbers.length);
    longBefore = numbers.length > 4;
    widest = Math.max(widest, alignment);
    const offset = Math.ceil(at / alignment) * alignment;
    at = offset + 4 * numbers.length;
    return { type, numbers, offset };
  });
  const bytes = new ArrayBuffer(Math.ceil(at / widest) * widest);
  for (const { type, numbers, offset } of placed) {
    const Words = type === 'int32' ? Int32Array : type === 'uint32' ? Uint32Array : Float32Array;
    new Words(bytes, offset, numbers.length).set(numbers);
  }
  return bytes;
}

/** Uniform buffers kept at most; then all are forgotten, and those still in use live on. */
const MOST = 4096;

/** Uniform buffers by content. None is ever written again, so all dispatches may share them. */
export class Uniforms {
  private readonly buffers = new Map<string, GPUBuffer>();

  constructor(private readonly device: GPUDevice) {}

  /** The buffer with these bytes, and their text. */
  of(bytes: ArrayBuffer): { buffer: GPUBuffer; text: string } {
    const text = Buffer.from(bytes).toString('latin1');
    const known = this.buffers.get(text);
    if (known) return { buffer: known, text };
    if (this.buffers.size >= MOST) this.buffers.clear();
    const buffer = this.device.createBuffer({
      size: Math.ceil(bytes.byteLength / 16) * 16,
      usage: GPUBufferUsage.UNIFORM,
      mappedAtCreation: true,
    });
    new Uint8Array(buffer.getMappedRange()).set(new Uint8Array(bytes));
    buffer.unmap();
    this.buffers.set(text, buffer);
    return { buffer, text };
  }
}
