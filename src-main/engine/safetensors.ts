// Reads and writes the safetensors format: an 8-byte length, a JSON header, then the numbers (github.com/huggingface/safetensors, README).
import { SpecError } from '../spec/error';

export type TensorData = Float32Array | Float64Array | Int32Array | Uint8Array;
/** A tensor as plain data, row-major. */
export interface PlainTensor {
  shape: readonly number[];
  data: TensorData;
}
export interface Safetensors {
  tensors: Map<string, PlainTensor>;
  metadata: Record<string, string>;
}

const MAX_HEADER_BYTES = 32 * 1024 * 1024;
const MAX_RANK = 16;
const types = {
  F32: Float32Array,
  F64: Float64Array,
  I32: Int32Array,
  U8: Uint8Array,
} as const;
type Code = keyof typeof types;
const codeOf = (data: TensorData): Code => (Object.keys(types) as Code[]).find((c) => data instanceof types[c])!;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const quoted = (name: string) => JSON.stringify(name.length > 80 ? `${name.slice(0, 79)}…` : name);

/**
 * Reads all tensors; each gets memory of its own. Numbers are little-endian in the file and on every platform that the lab runs on.
 * @param file as it is called in messages.
 * @throws SpecError naming the file, the tensor, what came and what fits.
 */
export function readSafetensors(bytes: Uint8Array, file: string): Safetensors {
  const fail = (message: string): never => {
    throw new SpecError([{ path: file, message, hint: 'the file is damaged or not safetensors; take another copy' }]);
  };
  if (bytes.length < 8) return fail(`${bytes.length} bytes are too few for a safetensors file, which has at least 8`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const headerLength = view.getBigUint64(0, true);
  if (headerLength > BigInt(Math.min(MAX_HEADER_BYTES, bytes.length - 8)))
    return fail(
      `a header of ${headerLength} bytes does not fit: the file has ${bytes.length} bytes, and a header at most ${MAX_HEADER_BYTES}`,
    );
  const start = 8 + Number(headerLength);
  const header = parseHeader(bytes.subarray(8, start));
  if (!header) return fail('the header is not a JSON object');

  const metadata: Record<string, string> = {};
  const entries: { name: string; code: Code; shape: number[]; from: number; to: number }[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') {
      if (!isObject(entry) || Object.values(entry).some((value) => typeof value !== 'string'))
        return fail('__metadata__ is not a map from text to text');
      Object.assign(metadata, entry);
      continue;
    }
    const at = `tensor ${quoted(name)}`;
    if (!isObject(entry)) return fail(`${at}: its entry is not an object`);
    const { dtype, shape, data_offsets: offsets } = entry;
    if (typeof dtype !== 'string' || !Object.hasOwn(types, dtype))
      return fail(`${at}: type ${quoted(String(dtype))} is not read here; ${Object.keys(types).join(', ')} are`);
    if (!Array.isArray(shape) || shape.length > MAX_RANK || !shape.every(isCount))
      return fail(`${at}: its shape is not a list of at most ${MAX_RANK} whole numbers`);
    if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
      return fail(`${at}: data_offsets is not a pair of whole numbers`);
    const [from, to] = offsets as [number, number];
    if (from > to || to > bytes.length - start)
      return fail(`${at}: bytes ${from} to ${to} lie outside the ${bytes.length - start} bytes of data`);
    const size = shape.reduce((product: number, d: number) => product * d, 1);
    const width = types[dtype as Code].BYTES_PER_ELEMENT;
    if (size * width !== to - from)
      return fail(`${at}: shape [${shape}] wants ${size * width} bytes, the file gives ${to - from}`);
    entries.push({ name, code: dtype as Code, shape, from, to });
  }

  // The format wants no gaps and no overlaps: sorted by place, each begins where the one before it ends.
  entries.sort((a, b) => a.from - b.from || a.to - b.to);
  let end = 0;
  for (const { name, from, to } of entries) {
    if (from !== end)
      return fail(`tensor ${quoted(name)} begins at byte ${from} of the data, but the one before it ends at ${end}`);
    end = to;
  }
  if (end !== bytes.length - start)
    return fail(`the tensors fill ${end} bytes of data, the file has ${bytes.length - start}`);

  const tensors = new Map<string, PlainTensor>();
  for (const { name, code, shape, from, to } of entries) {
    // Not `slice`: a Buffer's shares memory, and its place need not be aligned.
    const own = new Uint8Array(to - from);
    own.set(bytes.subarray(start + from, start + to));
    tensors.set(name, { shape, data: new types[code](own.buffer, 0, own.length / types[code].BYTES_PER_ELEMENT) });
  }
  return { tensors, metadata };
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The file as its pieces in order, so that a writer need not hold a second copy of all numbers. */
export function* safetensorsParts(
  tensors: Iterable<readonly [string, PlainTensor]>,
  metadata: Record<string, string> = {},
): Generator<Uint8Array> {
  const list = [...tensors];
  const header: Record<string, unknown> = Object.create(null);
  if (Object.keys(metadata).length) header.__metadata__ = metadata;
  let offset = 0;
  for (const [name, { shape, data }] of list) {
    header[name] = { dtype: codeOf(data), shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  // Spaces to a multiple of 8, so that the numbers are aligned.
  const head = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(32);
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - 8), true);
  head.set(json, 8);
  yield head;
  for (const [, { data }] of list) yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** The file in one piece. */
export function writeSafetensors(
  tensors: Iterable<readonly [string, PlainTensor]>,
  metadata: Record<string, string> = {},
): Uint8Array {
  return Buffer.concat([...safetensorsParts(tensors, metadata)]);
}
