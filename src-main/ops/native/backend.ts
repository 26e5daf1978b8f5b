// The TF.js backend `native`: TF.js's JavaScript CPU backend with pooled buffers and a door to the addon.
import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import type { backend_util, DataType, TensorInfo } from '@tensorflow/tfjs-core';
import type { Addon } from './addon';
import { type Numbers, Pool } from './pool';
import type { AnyArray, Recording } from './recording';

type Values = backend_util.BackendValues;
type DataId = TensorInfo['dataId'];
const MAX_NUMBERS = 256;

const bytesOf = (values: Values | undefined): number => (ArrayBuffer.isView(values) ? values.byteLength : 0);

/** A call of a native kernel, as a watcher sees it. */
export interface WatchedCall {
  kernel: string;
  /** Inputs, absent ones undefined, then outputs. */
  arrays: readonly (AnyArray | undefined)[];
  /** How many of them are inputs. */
  inputs: number;
  ints: readonly number[];
  /** Makes the same call on the same arrays again. */
  again(): void;
}

/** A call of a native kernel before it is made. */
export interface NativeCall {
  kernel: string;
  inputs: readonly (TensorInfo | undefined)[];
  ints?: readonly number[];
}

export class NativeBackend extends MathBackendCPU {
  readonly pool: Pool;
  /** Bytes of all live buffers. */
  liveBytes = 0;
  /** The most of them at once since it was last set. */
  peakBytes = 0;
  /** Hears of each call of a native kernel once it is done. */
  watcher: ((call: WatchedCall) => void) | undefined;
  /** Products round their inputs to bfloat16. */
  private roundingNow = false;
  /** Another kernel and its inputs, for the same outputs and numbers, in place of a call; undefined: the call as it is. */
  instead: ((call: NativeCall) => NativeCall | undefined) | undefined;
  /** Takes down what is done from here on. */
  recording: Recording | undefined;
  private readonly numbers = new Float64Array(MAX_NUMBERS);
  private readonly index: ReadonlyMap<string, number>;

  constructor(readonly addon: Addon) {
    super();
    (this as unknown as { firstUse: boolean }).firstUse = false; // no advertisement on the console
    this.pool = new Pool(addon.home);
    addon.numbers(this.numbers);
    this.index = new Map(addon.kernels().map((name, i) => [name, i]));
  }

  get rounding(): boolean {
    return this.roundingNow;
  }
  set rounding(on: boolean) {
    this.roundingNow = on;
    this.addon.bfloat16(on);
  }

  has(kernel: string): boolean {
    return this.index.has(kernel);
  }

  override write(values: Values, shape: number[], dtype: DataType): DataId {
    // A JavaScript kernel may hand on a view of its input (slice does); the pool could then give that memory to another tensor.
    const safe = ArrayBuffer.isView(values) && this.pool.owns(values) ? (values as Float32Array).slice() : values;
    this.hold(bytesOf(safe));
    if (ArrayBuffer.isView(safe)) this.recording?.write(safe as AnyArray);
    return super.write(safe, shape, dtype);
  }

  override move(dataId: DataId, values: Values, shape: number[], dtype: DataType, refCount: number): void {
    this.hold(bytesOf(values));
    super.move(dataId, values, shape, dtype, refCount);
  }

  /** A new tensor with arbitrary contents; its buffer goes back to the pool when the tensor is disposed. */
  make(shape: number[], dtype: 'float32' | 'int32' | 'bool'): TensorInfo {
    const size = shape.reduce((n, d) => n * d, 1);
    const values =
      dtype === 'float32'
        ? this.pool.takeFloats(size)
        : dtype === 'int32'
          ? this.pool.takeInts(size)
          : new Uint8Array(size);
    this.hold(values.byteLength);
    this.recording?.make(values);
    return { dataId: super.write(values, shape, dtype), shape, dtype };
  }

  override disposeData(dataId: DataId, force = false): boolean {
    if (!this.data.has(dataId)) return true;
    const entry = this.data.get(dataId);
    const { values } = entry;
    const gone = super.disposeData(dataId, force);
    if (gone) entry.values = undefined as never; // for whoever watches the entry
    if (gone && ArrayBuffer.isView(values)) {
      this.liveBytes -= values.byteLength;
      this.recording?.free(values as AnyArray);
      if (this.pool.owns(values)) this.pool.give(values as Numbers);
    }
    return gone;
  }

  /** A copy: the buffer itself may serve another tensor later. */
  override readSync(dataId: DataId): Values {
    if (this.recording) this.recording.obstacle ??= 'numbers are read back in the middle of it';
    const values = super.readSync(dataId);
    return ArrayBuffer.isView(values) ? (values as Float32Array).slice() : values;
  }

  /** Tells, again and again, whether the tensor's data is there and lies in this array; `alone`: and no other tensor shares it. */
  watch(dataId: DataId, array: AnyArray, alone: boolean): () => boolean {
    if (!this.data.has(dataId)) return () => false;
    const entry = this.data.get(dataId);
    return () => entry.values === array && !(alone && entry.refCount > 1);
  }

  /** True if nobody else sees when the tensor's numbers change: its buffer is ours and no other tensor shares it. */
  mayOverwrite({ dataId }: TensorInfo): boolean {
    const { values, refCount } = this.data.get(dataId);
    return refCount === 1 && ArrayBuffer.isView(values) && this.pool.owns(values);
  }

  /** Moves the numbers of float32 and int32 tensors that live long to where they are read fastest, see `together` of the pool. */
  keepTogether(infos: readonly TensorInfo[]): void {
    const before = infos.map((info) => this.array(info) as Numbers);
    for (const [i, moved] of this.pool.together(before).entries()) {
      this.data.get(infos[i].dataId).values = moved;
      if (this.pool.owns(before[i])) this.pool.give(before[i]);
    }
  }

  /** Contents of a tensor just made from JavaScript are made anew by `read` when the recorded step is played. */
  feed(info: TensorInfo, read: () => ArrayLike<number>): void {
    this.recording?.feed(this.array(info), read);
  }

  /** The tensor's own buffer, for `find` of the recording. */
  arrayOf(info: TensorInfo): AnyArray {
    return this.array(info);
  }

  /** The tensor's own buffer: writes to it are seen by all that share it. */
  private array(info: TensorInfo): AnyArray {
    const entry = this.data.get(info.dataId);
    const values = entry.values;
    // TF.js keeps the array it was given, whose type may differ from the tensor's.
    if (info.dtype === 'float32')
      return values instanceof Float32Array ? values : this.replace(info, Float32Array.from(values as Int32Array));
    if (info.dtype === 'int32')
      return values instanceof Int32Array ? values : this.replace(info, Int32Array.from(values as Float32Array));
    return values instanceof Uint8Array ? values : this.replace(info, Uint8Array.from(values as Float32Array));
  }

  /** Runs a native kernel. Shapes and types are the caller's business; absent inputs are undefined. */
  run(
    kernel: string,
    inputs: readonly (TensorInfo | undefined)[],
    outputs: readonly TensorInfo[],
    ints: readonly number[],
    floats: readonly number[] = [],
  ): void {
    const other = this.instead?.({ kernel, inputs, ints });
    if (other) {
      this.run(other.kernel, other.inputs, outputs, ints, floats);
      return;
    }
    const index = this.index.get(kernel);
    if (index === undefined) throw new Error(`internal: the addon has no kernel ${kernel}`);
    const arrays: (AnyArray | undefined)[] = [];
    for (const info of inputs) arrays.push(info && this.array(info));
    for (const info of outputs) arrays.push(this.array(info));
    this.recording?.call(index, [...inputs, ...outputs], arrays, inputs.length, ints, floats);
    this.call(index, inputs.length, arrays, ints, floats);
    if (!this.watcher) return;
    const again = () => this.call(index, inputs.length, arrays, ints, floats);
    this.watcher({ kernel, arrays, inputs: inputs.length, ints, again });
  }

  private call(
    kernel: number,
    inputs: number,
    arrays: readonly (AnyArray | undefined)[],
    ints: readonly number[],
    floats: readonly number[],
  ): void {
    const { numbers } = this;
    let n = 0;
    for (const value of ints) numbers[n++] = value;
    for (const value of floats) numbers[n++] = value;
    this.addon.call(kernel, inputs, arrays.length - inputs, ints.length, floats.length, ...arrays);
  }

  private hold(bytes: number): void {
    this.liveBytes += bytes;
    if (this.liveBytes > this.peakBytes) this.peakBytes = this.liveBytes;
  }

  private replace<T extends AnyArray>(info: TensorInfo, values: T): T {
    const entry = this.data.get(info.dataId);
    this.liveBytes += values.byteLength - bytesOf(entry.values);
    entry.values = values;
    return values;
  }
}
