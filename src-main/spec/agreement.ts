// How a block, as a device computes it, agrees with its published code: plain data, measured here and kept.
import type { DeviceId } from './run';

export interface Agreement {
  block: string;
  device: DeviceId;
  deviceDetail: string;
  /** Of the kernels that were tested: once the device has others, the figures are of the past. */
  kernelVersion: string;
  /** Milliseconds since 1970. */
  at: number;
  ok: boolean;
  /** Golden cases, and tensors compared in them: outputs, gradients and states, forward, backward and in decoding. */
  cases: number;
  tensors: number;
  /** The tensor that came nearest to its tolerance, or farthest beyond; null where none could be compared. */
  worst: { error: number; tolerance: number; tensor: string; case: string } | null;
  /** What did not agree, the first few, as sentences. */
  failures: string[];
}

/** Where a test stands: case `done + 1` of `total` is being computed. */
export interface AgreementProgress {
  block: string;
  case: string;
  done: number;
  total: number;
}
