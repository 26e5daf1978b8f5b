// TF.js's own backends on the same model at S, each in turn with ours: its JavaScript CPU backend and its WASM backend.
import { useDevice, useWasm } from '../ops';
import { type Row, spread } from './bench-rows';
import { benchOf, Stopwatch } from './bench-steps';
import { type Asked, open, taken, type Work } from './bench-work';

const CONFIG = 'S';
const BLOCKS = ['softmax_attention'];

interface Peer {
  name: string;
  use(): Promise<{ version: string; note: string }>;
  /** Seconds that a step takes, about; a slow one is not warmed up. */
  seconds: number;
  steps: number;
}
const PEERS: readonly Peer[] = [
  {
    name: 'TF.js WASM',
    use: useWasm,
    seconds: 8,
    steps: 2,
  },
  {
    name: 'TF.js CPU (JavaScript)',
    use: async () => ({ version: (await useDevice('reference')).kernelVersion, note: 'plain JavaScript, one thread' }),
    seconds: 30,
    steps: 1,
  },
];

/** Median of our captured steps; the weights stay on our backend, so each side builds its own model. */
async function measure(asked: Asked, { name, use, steps }: Peer, block: string): Promise<Row[]> {
  const facts = await open(asked);
  const ours = benchOf(CONFIG, block);
  const step = ours.make();
  const watch = new Stopwatch(step, ours.part);
  try {
    for (let i = 0; i < 5 && step.played === 0; i++) await watch.take(false);
    const { version, note } = await use();
    const theirs = benchOf(CONFIG, block);
    const times: number[] = [];
    try {
      const other = new Stopwatch(theirs.make(false), theirs.part);
      for (let i = 0; i < (steps > 1 ? steps + 1 : 1); i++) {
        await use();
        const ms = await other.take(false);
        if (steps === 1 || i > 0) times.push(ms);
        await open(asked);
        for (let k = 0; k < 5; k++) await watch.take(true);
      }
    } finally {
      await use();
      theirs.dispose();
      await open(asked);
    }
    const ms = spread(times);
    const mine = spread(watch.times);
    return [
      {
        kind: 'peer',
        ...taken(facts, 'float32'),
        peer: name,
        version,
        config: CONFIG,
        block,
        ms,
        warmedUp: steps > 1,
        ours: mine,
        timesPeer: ms.median / mine.median,
        note: `${note}; compositions of TF.js ops where it has no fused kernel; ours on ${facts.threads} thread${facts.threads === 1 ? '' : 's'}`,
      },
    ];
  } catch (error) {
    return [{ kind: 'skipped', what: name, why: (error as Error).message }];
  } finally {
    await open(asked);
    ours.dispose();
  }
}

export function peers(asked: Asked): Work[] {
  if (asked.device !== 'cpu') return [];
  // JavaScript alone takes half a minute a step.
  return PEERS.filter(({ steps }) => !asked.brief || steps > 1).flatMap((peer) =>
    BLOCKS.map((block) => ({
      label: `${CONFIG} ${block} on ${peer.name}`,
      seconds: peer.seconds * (peer.steps + 1),
      run: () => measure(asked, peer, block),
    })),
  );
}
