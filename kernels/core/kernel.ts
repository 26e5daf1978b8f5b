// What a kernel is, as plain data: its name, inputs, outputs and gradient. `src-main/ops` registers it with TF.js for each backend that has it.

export type Shape = readonly number[];
export type Shapes = Readonly<Record<string, Shape>>;
export type Attrs = Readonly<Record<string, unknown>>;
export type DType = 'float32' | 'int32';

/** How the gradient kernel is fed: from the forward's inputs, its outputs, and the cotangents `d<output>` of the named outputs. */
export interface KernelGradient {
  /** Name of the kernel that computes it; its outputs are named `d<input>` for each entry of `of`. */
  kernel: string;
  /** Forward inputs that the gradient kernel reads, by name. */
  inputs: readonly string[];
  /** Forward outputs that it reads, by name. Keep them small: they live until the backward pass. */
  outputs: readonly string[];
  /** Outputs that are differentiated; each comes as input `d<output>`. The others are auxiliary and get no gradient. */
  cotangents: readonly string[];
  /** Forward inputs that receive a gradient. */
  of: readonly string[];
  /** Inputs whose gradient is that of another one, by name: the terms of a sum. */
  alike?: Readonly<Record<string, string>>;
}

export interface Kernel {
  /** As registered with TF.js and in C++ by LAB_KERNEL. */
  name: string;
  /** Input names in the order in which native code takes their pointers. A name ending in `?` may be absent. */
  inputs: readonly string[];
  /** dtype of inputs that are not float32. */
  dtypes?: Readonly<Record<string, DType>>;
  /** Shape of each output, in the order in which native code takes them (after the inputs). All float32 unless in `dtypes`. */
  outputs(shapes: Shapes, attrs: Attrs): Readonly<Record<string, Shape>>;
  /** Sizes and switches for native code, from shapes and attributes. */
  ints(shapes: Shapes, attrs: Attrs): number[];
  /** Real-valued attributes for native code. */
  floats?(attrs: Attrs): number[];
  gradient?: KernelGradient;
  /** An output may lie where the input of the same name lies. */
  inPlace?: boolean;
  /**
   * For each output, in order, the inputs over which a captured step may lay it once nobody else reads them, the best first: the kernel then reads all that
   * it needs of an input's numbers before it writes in their place, whatever the thread.
   */
  over?: readonly (readonly string[])[];
  /** Refuses shapes or attributes that the kernel can't do: a sentence, or undefined if it can. */
  refuses?(shapes: Shapes, attrs: Attrs): string | undefined;
}

/** Identity, for the types and for the eye. */
export const defineKernel = (kernel: Kernel): Kernel => kernel;

/** Arrays as the plain forms take and give them: float64, row-major. */
export type Arrays = Record<string, Float64Array>;
/** The same sums in float64 loops: the witness that native and GPU kernels are tested against. */
export type Plain = (inputs: Arrays, shapes: Shapes, attrs: Attrs) => Arrays;

/** Words of int32 that hold so many numbers of bfloat16. */
export const wordsOf = (numbers: number): number => Math.ceil(numbers / 2);

export const sizeOf = (shape: Shape): number => shape.reduce((n, d) => n * d, 1);
