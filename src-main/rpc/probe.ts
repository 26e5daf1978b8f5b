// The process that devices are listed and tested in: one question by its arguments, one answer by message.
import { describeDevices, testDevice } from '../ops';
import type { DeviceId } from '../spec/run';

const [what, id] = process.argv.slice(2);
try {
  const value = what === 'test' ? await testDevice(id as DeviceId) : await describeDevices();
  process.send?.({ value });
} catch (error) {
  process.send?.({ error: error instanceof Error ? error.message : String(error) });
}
process.on('disconnect', () => process.exit(0));
