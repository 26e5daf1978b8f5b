// Devices as plain data: what is there, and what its own test found.
import type { DeviceId } from './run';

/** What a graphics adapter grants its shaders. */
export interface GpuFacts {
  name: string;
  /** Maker and architecture. */
  vendor: string;
  /** Whether shaders may compute in 16-bit floats. */
  f16: boolean;
  /** Least and most lanes of a subgroup; null without subgroups. */
  subgroups: [number, number] | null;
  /** Of one tensor. */
  bufferBytes: number;
  workgroupBytes: number;
  /** Lanes of a workgroup. */
  invocations: number;
  storageBuffers: number;
}
export interface DeviceInfo {
  id: DeviceId;
  title: string;
  available: boolean;
  /** What it is (instruction set, adapter), or why it is not there and what to do. */
  detail: string;
  /** Of its kernels; null where it is not there. */
  kernelVersion: string | null;
  /** Of a graphics adapter. */
  gpu?: GpuFacts;
}
export interface DeviceTest {
  id: DeviceId;
  ok: boolean;
  /** Matrix product checked against the plain form, and its measured rate. */
  gflops: number | null;
  worstError: number | null;
  /** What the device could do at most: GFLOP/s of float32 multiply-adds between registers, measured; null where there is no probe. */
  peakGflops: number | null;
  /** GB/s of copying within the device's memory, read and written bytes counted both; null where there is no probe. */
  gigabytesPerSecond: number | null;
  message: string;
}

/** A test that came to nothing. */
export const failedTest = (id: DeviceId, message: string): DeviceTest => ({
  ...{ id, ok: false, gflops: null, worstError: null, peakGflops: null, gigabytesPerSecond: null },
  message,
});
