// The op surface: TF.js, the devices, and the fused kernels with their fallbacks.
export { type DeviceFacts, type DeviceOptions, describeDevices, testDevice, useDevice } from './device';
export {
  type Binding,
  bind,
  type Composition,
  fallbacks,
  hasKernel,
  type Inputs,
  type Outputs,
  runKernel,
  withReference,
} from './fused';
export { kernels } from './kernels';
export { type MemoryFacts, memoryFacts, poisonBuffers } from './memory';
export { measurePeak } from './peak';
export * as tf from './tf';
