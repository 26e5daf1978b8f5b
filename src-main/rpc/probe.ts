// The process that devices are listed and tested in, and blocks compared on them: one question by its arguments, answers by message.
import { describeDevices, testDevice, useDevice } from '../ops';
import { SpecError } from '../spec/error';
import type { DeviceId } from '../spec/run';
import type { AgreementMessage } from './agreement';

const [what, id, ...rest] = process.argv.slice(2);
process.on('disconnect', () => process.exit(0));

async function agree(device: DeviceId, golden: string, blocks: readonly string[]): Promise<'done'> {
  // The blocks are loaded for this question alone: the others are answered sooner without.
  const { agreeBlock } = await import('../engine/agreement');
  const facts = await useDevice(device);
  const say = (message: AgreementMessage) => void process.send?.(message);
  for (const block of blocks)
    say({ agreement: await agreeBlock(golden, block, facts, (progress) => say({ progress })) });
  return 'done';
}

try {
  const device = id as DeviceId;
  const value =
    what === 'test'
      ? await testDevice(device)
      : what === 'agree'
        ? await agree(device, rest[0], rest.slice(1))
        : await describeDevices();
  process.send?.({ value });
} catch (error) {
  if (!(error instanceof SpecError)) console.error(error);
  process.send?.({ error: error instanceof Error ? error.message : String(error) });
}
