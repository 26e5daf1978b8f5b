// Finds and loads the native addon that fits this processor.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';

/** What kernels/core/addon.cc exports. */
export interface Addon {
  isa: string;
  /** Names of its kernels; the place in the list is the number by which `call` knows one. */
  kernels(): string[];
  /** Where `call` finds its numbers: integers first, then reals. */
  numbers(shared: Float64Array): void;
  call(
    kernel: number,
    inputs: number,
    outputs: number,
    ints: number,
    floats: number,
    ...arrays: (ArrayBufferView | undefined)[]
  ): void;
  /**
   * The first byte of memory that nobody has written yet whose address is a multiple of `align`. Asks the system for large pages where the memory
   * spans whole ones: addresses far apart are then found sooner.
   */
  home(memory: Uint8Array, align: number): number;
  /** Keeps a list of calls with its memories, see kernels/core/program.h; gives its number. */
  program(code: Float64Array, places: Float64Array, memories: ArrayBufferView[]): number;
  /** For each call of such a list which arguments may hold bfloat16 as products are set now: bit i of the result for argument i. */
  halves(code: Float64Array): number[];
  /** Makes calls `from` to `to - 1` of a program. */
  play(program: number, from: number, to: number): void;
  /** The same on a thread beside JavaScript; false if `stop` ended it early. The program is left alone until then. */
  playLater(program: number, from: number, to: number): Promise<boolean>;
  /** Ends a program that plays beside JavaScript before its next call. */
  stop(program: number): void;
  forget(program: number): void;
  /** Milliseconds that each kernel has taken since this was first asked, in the order of `kernels()`. */
  times(): number[];
  /** Sets, if given, and tells the number of threads. */
  threads(count?: number): number;
  /** Fills scratch memory with NaN before each use (tests). */
  poison(on: boolean): void;
  /** Rounds the inputs of matrix products to bfloat16. */
  bfloat16(on: boolean): void;
  /**
   * Makes products of bfloat16 run on 'pairs', on the tile 'unit' (AMX) where it is ready, or on 'loops' in its place (tests), and tells what a trial
   * of the unit against plain loops found.
   */
  tiles(use?: 'pairs' | 'unit' | 'loops'): TileUnit;
  /** What the processor and its system offer. */
  cpu(): { avx2: boolean; avx512: boolean; avx512bf16: boolean; amx: boolean };
}
/** 'unknown': to the compiler; 'missing': in the processor; 'refused': by the system; 'wrong': its sums differ from those of plain loops. */
export type TileUnit = 'ready' | 'unknown' | 'missing' | 'refused' | 'wrong';
export interface LoadedAddon {
  addon: Addon;
  /** A sentence where the processor could do more than is used. */
  note?: string;
  /** Hash of the kernel sources. */
  version: string;
}

const TITLES: Record<string, string> = {
  amx: 'AVX-512 with AMX for bfloat16',
  avx512bf16: 'AVX-512 with BF16',
  avx512: 'AVX-512',
  avx2: 'AVX2',
  neon: 'NEON',
  portable: 'portable',
};
/** The instruction sets of x64, the fastest first. */
const X64 = ['amx', 'avx512bf16', 'avx512', 'avx2'] as const;
/** `amx` is the addon of AVX-512-BF16 with its products on tiles. */
const fileOf = (isa: string): string => `lab-${isa === 'amx' ? 'avx512bf16' : isa}.node`;
/** Why tiles are not used although the processor has them. */
const WITHOUT_TILES: Record<Exclude<TileUnit, 'ready'>, string> = {
  unknown: 'AMX is not used: the compiler of the native kernels does not know it; GCC 11, Clang 12 or later do',
  missing: 'AMX is not used: the processor has none',
  refused: 'AMX is not used: the system does not lend it to this process',
  wrong: 'AMX is not used: on this processor its sums differ from those of plain loops; please report it with its name',
};
/** The instruction set as people write it. */
export const isaTitle = (isa: string): string => TITLES[isa] ?? isa;

/** The nearest folder above this file whose package.json is ours. */
function projectRoot(): string | undefined {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).name === 'archlab') return folder;
    if (folder === dirname(folder)) return undefined;
  }
}

/** Folders in which the addons may lie: the checkout's, or beside the archive of the packaged app, whose inside the system can't load from. */
function nativeFolders(): string[] {
  const folders: string[] = [];
  const root = projectRoot();
  if (root) folders.push(join(root.replace(/app\.asar(?=$|[\\/])/, 'app.asar.unpacked'), 'out', 'native'));
  const resources = (process as { resourcesPath?: string }).resourcesPath;
  if (resources) folders.push(resolve(resources, 'app.asar.unpacked', 'out', 'native'));
  return folders;
}

let loaded: LoadedAddon | { absent: string } | undefined;

/** The addon, or a sentence on why there is none and what to do. ARCHLAB_ISA forces an instruction set. */
export function loadAddon(): LoadedAddon | { absent: string } {
  loaded ??= load();
  return loaded;
}

/** The addon of AVX-512-BF16 with its products on tiles; as it is, with a note, where a trial of the unit fails, and refused where `asked` for. */
export function onTiles(addon: Addon, version: string, asked: boolean): LoadedAddon | { absent: string } {
  const found = addon.tiles('unit');
  if (found === 'ready') return { addon: { ...addon, isa: 'amx' }, version };
  if (asked) return { absent: `ARCHLAB_ISA=amx: ${WITHOUT_TILES[found]}; leave it unset.` };
  return { addon, version, note: WITHOUT_TILES[found] };
}

function load(): LoadedAddon | { absent: string } {
  const folder = nativeFolders().find((candidate) => existsSync(candidate));
  const has = (isa: string) => folder !== undefined && existsSync(join(folder, fileOf(isa)));
  const base = process.arch === 'arm64' ? 'neon' : 'portable';
  if (!folder || !has(base)) {
    const note = folder && join(folder, 'absent.json');
    if (note && existsSync(note)) return { absent: JSON.parse(readFileSync(note, 'utf8')).why };
    return { absent: 'The native kernels are not built; run `npm run native` (it needs a C++ compiler).' };
  }
  const require = createRequire(join(folder, 'load.cjs'));
  const open = (isa: string) => require(join(folder, fileOf(isa))) as Addon;
  try {
    const cpu = open(base).cpu();
    const able: string[] = [...X64.filter((isa) => cpu[isa]), base];
    const forced = process.env.ARCHLAB_ISA;
    if (forced && !able.includes(forced))
      return {
        absent: `ARCHLAB_ISA=${forced}: this processor runs ${able.join(', ')}; choose one of these or leave it unset.`,
      };
    const isa = forced || able.find((one) => has(one))!;
    const version = JSON.parse(readFileSync(join(folder, 'version.json'), 'utf8')).version as string;
    const addon = open(isa);
    if (isa === 'amx') return onTiles(addon, version, forced === 'amx');
    addon.tiles('pairs');
    return { addon, version };
  } catch (error) {
    return { absent: `The native kernels do not load: ${(error as Error).message}; try \`npm run native\`.` };
  }
}
