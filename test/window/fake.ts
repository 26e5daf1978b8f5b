// A main that lives in the page: answers every call of the contract from memory, so that the window can be looked at and tested alone.
import type { Implementation, Inspection, Message, NodeFacts, Request, RunRow } from '../../src-main/rpc/contract';
import type { BlockCard, TaskCard } from '../../src-main/spec/card';
import { SpecError } from '../../src-main/spec/error';
import {
  checkModel,
  countBlocks,
  isBlock,
  isParallel,
  isRepeat,
  type ModelSpec,
  type Node,
} from '../../src-main/spec/model';
import { bool, choice, complete, float, int, interval, list, text } from '../../src-main/spec/options';
import type { RunDraft } from '../../src-main/spec/run';
import type { Transport } from '../../src-renderer/transport';

const blocks: BlockCard[] = [
  {
    id: 'softmax_attention',
    role: 'mixer',
    title: 'Softmax attention',
    summary: 'Each token reads earlier tokens in proportion to a softmax of query and key products.',
    text: '# Softmax attention\n\nEach token reads earlier tokens.\n\n- cost grows with `T²`\n- state grows with T\n\nSee [the paper](https://arxiv.org/abs/1706.03762).',
    paper: '1706.03762',
    options: {
      heads: int(4, { min: 1, max: 64, help: 'Query heads.' }),
      kvHeads: int(0, {
        min: 0,
        max: 64,
        help: 'Key and value heads shared by groups of query heads; 0 means as many as heads.',
      }),
      headDim: int(32, { min: 2, max: 256, help: 'Width of a head.' }),
      position: choice('rope', { choices: ['none', 'rope', 'alibi'], help: 'How order enters.' }),
      ropeBase: float(10_000, {
        min: 10,
        max: 1e7,
        log: true,
        help: 'Base of the rotary frequencies.',
        paper: '2104.09864',
      }),
      window: int(0, { min: 0, max: 65_536, help: 'Only so many latest tokens are read; 0 reads all.' }),
      qkNorm: bool(false, { help: 'Normalises queries and keys.' }),
      softCap: float(0, { min: 0, max: 1000, help: 'Scores are squashed to this; 0 leaves them.' }),
    },
  },
  {
    id: 'mamba2',
    role: 'mixer',
    title: 'Mamba-2',
    summary: 'A state space layer with a scalar decay per head, computed as blocks of matrix products.',
    text: '# Mamba-2\n\nA state space layer.',
    paper: '2405.21060',
    options: {
      expand: int(2, { min: 1, max: 8, help: 'Inner width as a multiple of the stream width.' }),
      headDim: int(32, { min: 4, max: 256, help: 'Width of a head.' }),
      stateSize: int(64, { min: 1, max: 512, help: 'State numbers per channel.' }),
      conv: int(4, { min: 1, max: 16, help: 'Taps of the short convolution.' }),
      dtRange: interval([0.001, 0.1], { min: 1e-6, max: 10, help: 'Range in which step sizes start.' }),
      dtLimit: interval(null, { min: 0, max: 100, help: 'Step sizes are clipped to this.' }),
    },
  },
  {
    id: 'gated_mlp',
    role: 'channel',
    title: 'Gated MLP',
    summary: 'Two projections multiplied after an activation, then one back.',
    text: '# Gated MLP\n\nSwiGLU and its relatives.',
    options: {
      hidden: float(2.667, { min: 0.25, max: 16, help: 'Hidden width as a multiple of the stream width.' }),
      activation: choice('silu', {
        choices: ['silu', 'gelu', 'relu', 'relu2', 'sigmoid'],
        help: 'Activation of the gate.',
      }),
      bias: bool(false, { help: 'Adds bias vectors.' }),
    },
  },
];

const tasks: TaskCard[] = [
  {
    id: 'text',
    kind: 'text',
    title: 'Text',
    summary: 'Predict the next byte or character of real text.',
    text: '# Text',
    options: {
      source: choice('moby_dick', { choices: ['moby_dick', 'sotu'], help: 'Which text.' }),
      vocabulary: choice('byte', { choices: ['byte', 'character'], help: 'What a token is.' }),
      tokens: int(128, { min: 8, max: 8192, help: 'Context length T.' }),
      note: text('', { maxLength: 40, help: 'Any words.' }),
    },
    presets: { desk: {}, long: { tokens: 512 } },
    headline: { metric: 'loss/validation', better: 'lower' },
  },
  {
    id: 'mqar',
    kind: 'synthetic',
    title: 'Associative recall (MQAR)',
    summary: 'Recall the value that followed each key.',
    text: '# MQAR',
    options: {
      pairs: int(8, { min: 1, max: 512, help: 'Key and value pairs.' }),
      tokens: int(64, { min: 8, max: 8192, help: 'Context length T.' }),
      ladder: list([4, 8], { min: 1, max: 512, maxItems: 8, help: 'Pairs in validation.' }),
    },
    presets: { desk: {}, paper: { pairs: 64, tokens: 512 } },
    headline: { metric: 'accuracy/validation', better: 'higher' },
  },
];

const catalogue = new Map(blocks.map(({ id, role, options }) => [id, { role, options, rules: rulesOf(id) }]));
function rulesOf(id: string) {
  if (id !== 'softmax_attention') return undefined;
  return (options: Record<string, unknown>, _width: number, path: string) => {
    const { headDim, position } = options as { headDim: number; position: string };
    return position === 'rope' && headDim % 2
      ? [
          {
            path: `${path}.headDim`,
            message: `rotary turns pairs, so it wants an even width, not ${headDim}`,
            hint: `try ${headDim + 1}`,
            fix: headDim + 1,
          },
        ]
      : [];
  };
}

function inspect(input: Parameters<Implementation['models']['inspect']>[0]): Inspection {
  const model = input.model as ModelSpec;
  const nodes: NodeFacts[] = [];
  const D = model.width;
  const shape = `[B, ${input.tokens}, ${D}]`;
  const visit = (node: Node, path: string): NodeFacts => {
    const facts: NodeFacts = { path, shape, parameters: 0, flopsPerToken: 0, stateBytes: 0, savedBytes: 0 };
    nodes.push(facts);
    const add = (other: NodeFacts, times = 1) => {
      facts.parameters += times * other.parameters;
      facts.flopsPerToken += times * other.flopsPerToken;
      facts.stateBytes += times * other.stateBytes;
      facts.savedBytes += times * other.savedBytes;
    };
    if (isBlock(node)) {
      const options = complete(catalogue.get(node.block)?.options ?? {}, node.options) as Record<string, number>;
      const inner = node.block === 'softmax_attention' ? options.heads * options.headDim : D * 2;
      facts.parameters = 4 * D * inner + D;
      facts.flopsPerToken = 2 * facts.parameters;
      facts.stateBytes =
        node.block === 'gated_mlp' ? 0 : node.block === 'mamba2' ? 4 * inner * 64 : 8 * inner * input.tokens;
      facts.savedBytes = 4 * input.tokens * inner * 6;
    } else if (isRepeat(node)) {
      for (const [i, child] of node.layers.entries()) add(visit(child, `${path}.layers[${i}]`), node.repeat);
    } else if (isParallel(node)) {
      for (const [b, branch] of node.parallel.entries())
        for (const [i, child] of branch.entries()) add(visit(child, `${path}.parallel[${b}][${i}]`));
    }
    return facts;
  };
  const tops = model.layers.map((node, i) => visit(node, `model.layers[${i}]`));
  const sum = (key: 'parameters' | 'flopsPerToken' | 'stateBytes' | 'savedBytes') =>
    tops.reduce((total, node) => total + node[key], 0);
  const embeddingParameters = input.vocabulary * D * (model.head.tied ? 1 : 2);
  return {
    problems: checkModel(model, catalogue),
    nodes,
    objective: 'next_token',
    ahead: [],
    total: {
      parameters: sum('parameters') + embeddingParameters + D,
      embeddingParameters,
      flopsPerToken: sum('flopsPerToken') + 2 * input.vocabulary * D,
      stateBytes: sum('stateBytes'),
      savedBytes: sum('savedBytes'),
      held: { float32: [{ once: 0, each: sum('savedBytes') }], bfloat16: [{ once: 0, each: sum('savedBytes') }] },
      blocks: countBlocks(model.layers),
    },
  };
}

const stack = (block: string, name: string): ModelSpec => ({
  format: 'archlab.model/1',
  name,
  width: 128,
  positions: 'none',
  layers: [{ repeat: 4, layers: [{ block }, { block: 'gated_mlp' }] }],
  finalNorm: 'rms',
  head: { tied: true },
});

function rowOf(draft: RunDraft, n: number): RunRow {
  return {
    id: `run-${n}`,
    name: draft.name ?? `run ${n}`,
    status: 'queued',
    why: null,
    trouble: null,
    step: 0,
    steps: draft.budget.steps,
    tokens: 0,
    seconds: 0,
    etaSeconds: null,
    createdAt: Date.now(),
    startedAt: null,
    endedAt: null,
    heartbeatAt: null,
    ownerPid: null,
    queue: n,
    last: {},
    best: {},
    parameters: null,
    stateBytes: null,
    device: draft.device ?? 'cpu',
    deviceDetail: null,
    threads: null,
    tokensPerSecond: null,
    task: draft.task.id,
    objective: draft.objective?.kind ?? 'next_token',
    blocks: draft.model.layers.length ? 'blocks' : '',
    seed: draft.seed ?? 1,
    tokensPerStep: null,
    stepFlops: null,
    parent: null,
    resumable: false,
    checkpointStep: null,
    sizeBytes: null,
    deletedAt: null,
    seq: 0,
  };
}

/** A fake main; `calls` records what was asked, for tests to look at. */
export function fakeMain(): {
  main: Pick<Implementation, keyof Implementation>;
  drafts: RunDraft[];
} {
  const settings: Record<string, unknown> = {};
  const saved = new Map<string, { id: string; name: string; model: ModelSpec; updatedAt: number }>();
  const removed = new Map<string, { id: string; name: string; model: ModelSpec; updatedAt: number }>();
  const runs: RunRow[] = [];
  const drafts: RunDraft[] = [];
  const main: Implementation = {
    app: {
      info: () => ({
        version: '0.1.0',
        host: 'serve',
        folder: '/home/user/.local/share/archlab',
        node: '24.0.0',
        electron: null,
        platform: 'linux x64',
        cores: 8,
        memoryBytes: 32e9,
        diskFreeBytes: 210e9,
      }),
    },
    settings: {
      get: () => settings,
      set: ({ key, value }) => {
        settings[key] = value;
      },
    },
    blocks: { list: () => blocks },
    tasks: {
      list: () => tasks,
      preview: ({ id, options }) => ({
        rows: [
          {
            tokens: Array.from({ length: Number(options.tokens ?? (id === 'text' ? 128 : 64)) }, () => 'a'),
            graded: [],
            targets: [],
          },
        ],
        vocabulary: id === 'text' ? 256 : 64,
        tokensTrain: 1_000_000,
        tokensValidation: 100_000,
        problems: [],
        levels: { 'uniform loss': 5.55 },
      }),
    },
    texts: {
      list: () => [],
      add: ({ name }) => ({ id: 'text-1', name, bytes: 1, addedAt: Date.now() }),
      remove: () => undefined,
    },
    models: {
      inspect,
      causality: ({ tokens }) => ({ tokens, changed: [1], worst: 0, leak: null }),
      presets: () => [
        {
          id: 'transformer',
          title: 'Transformer, small',
          summary: 'Attention and gated MLP, four layers.',
          model: stack('softmax_attention', 'Transformer'),
        },
        {
          id: 'mamba2',
          title: 'Mamba-2, small',
          summary: 'Mamba-2 and gated MLP, four layers.',
          model: stack('mamba2', 'Mamba-2'),
        },
      ],
      list: () => [...saved.values()],
      save: ({ id, name, model }) => {
        const entry = { id: id ?? `model-${saved.size + 1}`, name, model, updatedAt: Date.now() };
        saved.set(entry.id, entry);
        return entry;
      },
      remove: ({ id }) => {
        const entry = saved.get(id);
        if (entry) removed.set(id, entry);
        saved.delete(id);
      },
      restore: ({ id }) => {
        const entry = removed.get(id);
        if (entry) saved.set(id, entry);
      },
    },
    runs: {
      list: () => runs,
      get: () => {
        throw new SpecError('this lab keeps no details');
      },
      create: ({ runs: given }) => {
        drafts.push(...given);
        const rows = given.map((draft) => {
          const row = rowOf(draft, runs.length + 1);
          runs.push(row);
          return row;
        });
        return rows;
      },
      example: () => [],
      pause: () => undefined,
      resume: () => undefined,
      step: () => undefined,
      stop: () => undefined,
      rename: () => undefined,
      remove: () => undefined,
      restore: () => undefined,
      reorder: () => undefined,
      events: () => [],
      csv: () => '',
    },
    metrics: { names: () => [], series: () => [] },
    devices: {
      list: () => [
        { id: 'cpu', title: 'CPU', available: true, detail: 'avx512, 8 threads', kernelVersion: 'abc' },
        {
          id: 'webgpu',
          title: 'GPU (WebGPU)',
          available: false,
          detail: 'No adapter was found; install a Vulkan driver and start again.',
          kernelVersion: null,
        },
      ],
      test: ({ id }) => ({
        ...{ id, ok: true, gflops: 123.4, worstError: 2e-6, peakGflops: 200, gigabytesPerSecond: 12.5 },
        message: '',
      }),
    },
    generations: {
      start: () => ({ id: 'generation-1' }),
      fill: () => ({ id: 'generation-1' }),
      cancel: () => undefined,
    },
    agreements: {
      list: () => ({ tested: [], cases: { mamba2: 4 } }),
      start: () => ({ id: 'agreement-1' }),
      cancel: () => undefined,
    },
  };
  return { main, drafts };
}

/** The fake main behind a transport; answers come a tick later, as over a wire, and as copies. */
export function fakeTransport({ main } = fakeMain()): Transport & { drop(): void; restore(): void } {
  let heard: ((message: Message) => void) | undefined;
  let setState: ((state: 'connecting' | 'open' | 'lost') => void) | undefined;
  return {
    open({ message, state }) {
      heard = message;
      setState = state;
      state('open');
    },
    send({ id, noun, method, input }: Request) {
      const methods = main[noun as keyof Implementation] as unknown as Record<string, (input: unknown) => unknown>;
      setTimeout(() => {
        try {
          const value = structuredClone(methods[method](structuredClone(input)));
          heard?.({ id, ok: true, value });
        } catch (error) {
          const { name, message } = error as Error;
          heard?.({ id, ok: false, error: { name, message, problems: [...((error as SpecError).problems ?? [])] } });
        }
      }, 1);
    },
    drop: () => setState?.('lost'),
    restore: () => setState?.('open'),
  };
}
