// An instruction set asked for by ARCHLAB_ISA is that one or an error, never another.
import { expect, it } from 'vitest';
import { useDevice } from '.';

it('refuses an instruction set that the processor does not have', async () => {
  process.env.ARCHLAB_ISA = 'sse9';
  await expect(useDevice('cpu')).rejects.toThrow(
    /ARCHLAB_ISA=sse9: this processor runs .*; choose one of these|not built/,
  );
});
