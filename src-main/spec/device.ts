// Devices as plain data: what is there, and what its own test found.
import type { DeviceId } from './run';

export interface DeviceInfo {
  id: DeviceId;
  title: string;
  available: boolean;
  /** What it is (instruction set, adapter), or why it is not there and what to do. */
  detail: string;
  /** Of its kernels; null where it is not there. */
  kernelVersion: string | null;
}
export interface DeviceTest {
  id: DeviceId;
  ok: boolean;
  /** Matrix product checked against the plain form, and its measured rate. */
  gflops: number | null;
  worstError: number | null;
  message: string;
}
