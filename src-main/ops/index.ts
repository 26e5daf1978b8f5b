// The op surface: TF.js, the devices, and the fused kernels with their fallbacks.
export { adamwRates } from '../../kernels/adamw/kernel';
export { copyInto, keepTogether, overwrite, own, store, type Update, update, updateAll } from './assign';
export { type CapturedStep, fed, fedNumber, type Session, StepCapture, submit } from './capture';
export { type DeviceFacts, type DeviceOptions, describeDevices, setThreads, testDevice, useDevice } from './device';
export {
  type Binding,
  bind,
  type Composition,
  fallbacks,
  hasKernel,
  type Inputs,
  isReference,
  type Outputs,
  runKernel,
  withReference,
} from './fused';
export { kernels } from './kernels';
export { kernelTimes, type MemoryFacts, memoryFacts, poisonBuffers, watchKernels, withPeakBytes } from './memory';
export type { WatchedCall } from './native/backend';
export { measureBandwidth, measurePeak } from './peak';
export { ServedWeights, servesHalves } from './served';
export * as tf from './tf';
export { useWasm } from './wasm';
export type { WholeStep } from './webgpu/capture';
