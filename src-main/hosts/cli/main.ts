// The command line of the lab: reads the arguments, runs one command, ends with 0 (done), 1 (failed) or 2 (asked wrongly).
import { spawn } from 'node:child_process';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { builtScript } from '../../runs/worker';
import { bench, SECTIONS } from './bench';
import { check } from './check';
import { type ExitCode, verdict } from './command';
import { compare } from './compare';
import { doctor } from './doctor';
import { exportRun } from './export';
import { fill } from './fill';
import { generate } from './generate';
import { list } from './list';
import { parity } from './parity';
import { train } from './train';
import { VERSION } from './version';

const whole = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('It wants a whole number from 1 on.');
  return value;
};
const positive = (text: string): number => {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('It wants a number above 0.');
  return value;
};
const number = (text: string): number => {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It wants a number.');
  return value;
};

/** The whole command line; `ended` takes the exit code of the command that ran. */
function commands(ended: (code: ExitCode) => void): Command {
  const program = new Command('archlab')
    .description('A lab for neural architectures: train, compare and check them from the terminal.')
    .version(VERSION)
    .showHelpAfterError('(archlab --help lists the commands and their options)')
    .exitOverride();
  const folder = ['--folder <dir>', "lab folder (default: ARCHLAB_HOME, else the platform's data folder)"] as const;
  const json = ['--json', 'print the answer as JSON'] as const;
  const device = ['--device <id>', 'cpu, webgpu, tensorflow or reference'] as const;
  const threads = ['--threads <n>', 'worker threads (default: all cores)', whole] as const;
  const share = [
    '--threads <n>',
    'worker threads (default: all cores, or a share beside runs of the lab)',
    whole,
  ] as const;

  program
    .command('train')
    .description('train one run in a folder of its own')
    .argument('[spec]', 'JSON file with the run spec; left out with --resume')
    .requiredOption('--out <dir>', 'folder of the run')
    .option('--resume', 'go on with the interrupted run in --out')
    .option(...device)
    .option('--seed <n>', 'seed instead of the one in the spec', whole)
    .option(...share)
    .option('--folder <dir>', 'lab folder with your own texts')
    .option(...json)
    .action(async (file, options) => ended(await train(file, options)));
  program
    .command('compare')
    .description('train a small model with each block on the same data, and print what each costs and learns')
    .requiredOption('--blocks <list>', 'blocks with commas between, e.g. softmax_attention,mamba2')
    .option('--task <id>', 'what they learn', 'text')
    .option('--steps <n>', 'updates of each run', whole, 200)
    .option('--seeds <n>', 'runs of each block, with seeds 1 to n', whole, 1)
    .option('--width <n>', 'width D of the stream', whole, 64)
    .option('--layers <n>', 'how often block and gated MLP are repeated', whole, 2)
    .option('--batch <n>', 'sequences a step', whole, 16)
    .option('--tokens <n>', 'context length', whole)
    .option('--objective <kind>', 'next_token, masked, or auto: masked where a block looks at later tokens', 'auto')
    .option('--lr <x>', 'peak learning rate of AdamW', positive, 3e-3)
    .option('--precision <list>', 'float32, bfloat16 or both with a comma between')
    .option('--every <n>', 'steps between evaluations (default: a quarter of all)', whole)
    .option(...device, 'cpu')
    .option(...share)
    .option(...folder)
    .option(...json)
    .action(async (options) => ended(await compare(options)));
  program
    .command('list')
    .description('list the runs of the lab')
    .option(...folder)
    .option(...json)
    .action(async (options) => ended(await list(options)));
  program
    .command('export')
    .description('write a run into one file')
    .argument('<run>', 'id of the run, as list shows it')
    .option('--out <file>', 'file to write, or - for stdout', '-')
    .option('--format <kind>', "csv (all points) or json (spec and events); default: by the file's ending")
    .option(...folder)
    .action(async (run, options) => ended(await exportRun(run, options)));
  /** A command that a trained run answers, with what all of those ask. */
  const ofTrained = (name: string, description: string) =>
    program
      .command(name)
      .description(description)
      .argument('<run>', 'id or name of the run, or its folder')
      .option(
        '--temperature <x>',
        '0 takes the likeliest token, 1 the shares of the model, more is bolder',
        number,
        0.8,
      )
      .option('--top-k <n>', 'choose among the n likeliest tokens (0: all)', number, 0)
      .option('--top-p <x>', 'choose among the likeliest tokens that together hold this share', number, 1)
      .option('--seed <n>', 'the same seed gives the same text', number, 1)
      .option('--device <id>', 'default: the one that the run was trained on')
      .option('--precision <kind>', 'float32 or bfloat16, which reads half the bytes; default: as the run was trained')
      .option(...folder)
      .option(...json);
  ofTrained('generate', 'let a trained model write on, streaming to stdout')
    .option('--prompt <text>', 'text to go on from (default: a new line)', '')
    .option('--length <n>', 'tokens to add', number, 300)
    .action(async (run, options) => ended(await generate(run, options)));
  ofTrained('fill', 'let a model that learned masked tokens fill in the gaps of a text')
    .requiredOption('--prompt <text>', 'text with gaps: each _ is one token to fill in, \\_ an underscore')
    .option('--passes <n>', 'passes over the text, the surest gaps first (1: all at once)', number, 16)
    .action(async (run, options) => ended(await fill(run, options)));
  program
    .command('parity')
    .description('check blocks against golden cases')
    .argument('[dir]', 'folder with golden cases, at any depth (default: those that come with the lab)')
    .option(...device, 'cpu')
    .option('--reference', 'check the reference compositions instead of the fused kernels')
    .option(...json)
    .action(async (dir, options) => ended(await parity(dir, options)));
  program
    .command('check')
    .description('check a model: its problems, and whether later tokens reach earlier outputs, block by block')
    .argument('<file>', 'file of a model or of a run spec, or the folder of a run')
    .option('--tokens <n>', 'context length; at most 130 tokens are read', whole, 128)
    .option('--vocabulary <n>', 'ids of the tokens', whole, 256)
    .option(...json)
    .action(async (file, options) => ended(await check(file, options)));
  program
    .command('bench')
    .description(
      'measure this machine: products, kernels, whole steps, decoding, threads, other engines.\n' +
        'By default a part of each, in about four minutes: every block at S and M, two at L, decoding after 1,024 tokens.\n' +
        '--all takes the rest too (half an hour), and so does --json; sections, sizes and blocks that are named are taken whole.',
    )
    .option('--all', 'every measurement of every section but scaling')
    .option('--brief', 'the short set with --json too')
    .option('--only <list>', `sections: ${SECTIONS.join(', ')} ; named ones are taken whole`)
    .option('--decode', 'decoding alone: --only decode')
    .option('--scaling', 'growth with the length alone: --only scaling')
    .option('--torch', 'PyTorch in turn with ours, by the Python that ARCHLAB_TORCH_PYTHON names: --only torch')
    .option('--configs <list>', 'sizes: S, M, L')
    .option('--blocks <list>', 'blocks that mix tokens (default: all)')
    .option('--precision <list>', 'float32, bfloat16 (default: both)')
    .option(...device, 'cpu')
    .option(...threads)
    .option('--seconds <n>', 'measured time a row (default: 1.5; 0.3 in the short set)', positive)
    .option('--longest <n>', 'seconds that one step may take; longer ones are left out', positive, 12)
    .option(
      '--contexts <list>',
      'tokens before those that are decoded (default: 256,1024,4096,16384; 1024 in the short set)',
    )
    .option('--lengths <list>', 'sequence lengths of scaling (default: 256,1024,4096,16384)')
    .option('--json', 'one JSON object a line on stdout, one line a measurement')
    .action(async (options) => ended(await bench(options)));
  program
    .command('doctor')
    .description('show what this machine offers, with a computation on each device')
    .option(...folder)
    .option(...json)
    .action(async (options) => ended(await doctor(options)));
  program
    .command('serve')
    .description('serve the lab to a browser on this machine')
    .allowUnknownOption()
    .argument('[options...]', 'as of npm start -- --serve')
    .action((_, __, command: Command) => {
      const child = spawn(process.execPath, [builtScript('serve.js'), ...command.args], { stdio: 'inherit' });
      process.on('SIGINT', () => {}).on('SIGTERM', () => child.kill('SIGTERM'));
      child.on('exit', (code) => ended(code === 0 ? 0 : 1));
    });
  return program;
}

/** Ends the process once stdout is written; Dawn and worker pools would keep it alive. */
function exit(code: ExitCode): void {
  process.stdout.write('', () => process.exit(code));
}

try {
  await commands(exit).parseAsync();
} catch (error) {
  if (error instanceof CommanderError) exit(error.exitCode === 0 ? 0 : 2);
  else {
    const { text, code } = verdict(error);
    process.stderr.write(`${text}\n`);
    exit(code);
  }
}
