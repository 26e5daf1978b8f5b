// SwiftShader, a Vulkan driver in software, out of the npm package that brings the test browser: WebGPU without a GPU.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants, homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';

// Keeps a library loaded though Node lets go of it; glibc then answers Dawn's search for `libvulkan.so.1` with it.
const RTLD_NODELETE = 0x1000;

/** Unpacks and loads the driver into this process, for the next Dawn instance to find. Answers with what is in the way, if anything. */
export function prepareSwiftShader(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return `SwiftShader ships for linux-x64 only, not for ${process.platform}-${process.arch}`;
  const archive = findArchive();
  if (!archive) return 'SwiftShader is not installed (it is part of the development package @sparticuz/chromium)';
  try {
    const folder = unpacked(archive);
    process.env.VK_ICD_FILENAMES = join(folder, 'vk_swiftshader_icd.json');
    load(join(folder, 'libvulkan.so.1'));
    return undefined;
  } catch (error) {
    return `SwiftShader could not be unpacked: ${(error as Error).message}`;
  }
}

function findArchive(): { file: string; version: string } | undefined {
  try {
    const root = dirname(dirname(createRequire(import.meta.url).resolve('@sparticuz/chromium')));
    const file = join(root, 'bin', 'swiftshader.tar.br');
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    return existsSync(file) ? { file, version } : undefined;
  } catch {
    return undefined; // the package is not there: said by the caller
  }
}

/** The folder that holds the archive's files, unpacked on first use. */
function unpacked({ file, version }: { file: string; version: string }): string {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'archlab');
  const folder = join(cache, `swiftshader-${version}`);
  if (existsSync(folder)) return folder;
  const temporary = `${folder}.${process.pid}`;
  mkdirSync(temporary, { recursive: true });
  for (const { name, data } of readTar(brotliDecompressSync(readFileSync(file))))
    writeFileSync(join(temporary, basename(name)), data);
  try {
    renameSync(temporary, folder);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    if (!existsSync(folder)) throw error; // else another process was first
  }
  return folder;
}

const BLOCK = 512;

/** The regular files of a tar archive (ustar). */
export function* readTar(tar: Uint8Array): Generator<{ name: string; data: Uint8Array }> {
  const text = (from: number, length: number) =>
    new TextDecoder().decode(tar.subarray(from, from + length)).replace(/\0.*$/s, '');
  for (let at = 0; at + BLOCK <= tar.length && tar[at] !== 0; ) {
    const size = Number.parseInt(text(at + 124, 12), 8);
    const start = at + BLOCK;
    if (!(size >= 0) || start + size > tar.length) throw new Error(`the archive is damaged at byte ${at}`);
    const kind = text(at + 156, 1);
    if (kind === '0' || kind === '') yield { name: text(at, 100), data: tar.subarray(start, start + size) };
    at = start + Math.ceil(size / BLOCK) * BLOCK;
  }
}

/** Loads a plain shared library. Node takes it for an addon and complains that it registers nothing, after it has loaded. */
function load(library: string): void {
  try {
    process.dlopen({ exports: {} }, library, constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_GLOBAL | RTLD_NODELETE);
  } catch (error) {
    if (!/did not self-register/.test((error as Error).message)) throw error;
  }
}
