// The process that devices are listed and tested in, and blocks compared on them: one question by its arguments, answers by message.
import { describeDevices, testDevice, useDevice } from '../ops';
import type { Causality } from '../spec/causality';
import { SpecError } from '../spec/error';
import type { ModelSpec } from '../spec/model';
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

/** The question is a message: a model may be larger than an argument. */
async function causality(): Promise<Causality> {
  const asked = new Promise<{ model: ModelSpec; tokens: number; vocabulary: number }>((found) =>
    process.once('message', (message) => found(message as Awaited<typeof asked>)),
  );
  const { checkCausality } = await import('../engine/causality');
  const { model, ...context } = await asked;
  return checkCausality(model, context);
}

try {
  const device = id as DeviceId;
  const value =
    what === 'test'
      ? await testDevice(device)
      : what === 'agree'
        ? await agree(device, rest[0], rest.slice(1))
        : what === 'causality'
          ? await causality()
          : await describeDevices();
  process.send?.({ value });
} catch (error) {
  if (!(error instanceof SpecError)) console.error(error);
  process.send?.({ error: error instanceof Error ? error.message : String(error) });
}
