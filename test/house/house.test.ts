// The house rules of docs/architecture.md, checked over every source file.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { en } from '../../src-renderer/messages/en';
import { ru } from '../../src-renderer/messages/ru';
import { broken, wrongImports } from './rooms';
import { importsOf, root, sources } from './source';

const MAX_LINES = 700;
const all = sources();
const code = all.filter(({ path }) => /\.(ts|vue)$/.test(path));

describe('imports', () => {
  it('point only where docs/architecture.md lets them', () => {
    expect(code.flatMap(wrongImports)).toEqual([]);
  });

  it('are found in every form', () => {
    const text = [
      "import a, { b } from './a';",
      "import type { C } from './c';",
      "import { type D, type E } from './d';",
      "import './side';",
      "export * from './all';",
      "const f = await import('./lazy');",
      "const g = import.meta.glob<X>('./*/block.ts', { eager: true }); /* import './no' */",
      'let x: typeof import("./kind");',
      "// import './commented';",
      'import {',
      '  h,',
      "} from './long';",
    ].join('\n');
    const found = importsOf({ path: 'x.ts', text }).map(({ from, types }) => `${from}${types ? ' (types)' : ''}`);
    expect(found.sort()).toEqual(
      ['./a', './c (types)', './d (types)', './side', './all', './lazy', './', './kind (types)', './long'].sort(),
    );
  });

  it('are refused across the borders', () => {
    expect(broken('src-main/ops/a.ts', 'src-main/engine/build', false)).toMatch('src-main/ops may import kernels');
    expect(broken('src-renderer/ui/a.vue', 'src-main/rpc/contract', false)).toMatch('no more');
    expect(broken('src-renderer/ui/a.vue', 'src-renderer/stores/runs', false)).toMatch('src-renderer/ui may import');
    expect(broken('kernels/rms-norm/kernel.ts', 'kernels/attention/kernel', false)).toMatch('its own folder');
    expect(broken('src-main/blocks/mamba2/layer.ts', 'src-main/ops/index', false)).toBeUndefined();
    expect(broken('src-renderer/stores/runs.ts', 'src-main/rpc/contract', true)).toBeUndefined();
  });
});

describe('every source file', () => {
  it('says in its first line what it is for', () => {
    const silent = all.filter(({ path, text }) => {
      // A component or a page opens with its tag; its comment stands in the line below.
      const lines = text.split('\n', /\.(vue|html)$/.test(path) ? 2 : 1);
      return !lines.some((line) => /^\s*(\/\/|\/\*|--|<!--(?!\[)|#)\s*\S/.test(line));
    });
    expect(silent.map(({ path }) => `${path}: the first line is no comment that says what the file is for`)).toEqual(
      [],
    );
  });

  it(`has at most ${MAX_LINES} lines`, () => {
    const long = all
      .map(({ path, text }) => ({ path, lines: text.split('\n').length }))
      .filter(({ lines }) => lines > MAX_LINES);
    expect(long.map(({ path, lines }) => `${path}: ${lines} lines, perhaps two ideas`)).toEqual([]);
  });
});

describe('names', () => {
  const folders = (path: string) =>
    readdirSync(join(root, path), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => `${path}/${name}`);

  it('of blocks and tasks are those of their folders', () => {
    const wrong = [...folders('src-main/blocks'), ...folders('src-main/tasks')].flatMap((folder) => {
      const file = ['block.ts', 'task.ts']
        .map((name) => `${folder}/${name}`)
        .find((path) => existsSync(join(root, path)));
      if (!file) return []; // a folder of shared parts
      const id = /^\s*id: '([^']+)'/m.exec(readFileSync(join(root, file), 'utf8'))?.[1];
      return folder.endsWith(`/${id}`) ? [] : [`${file}: the id is ${id}, the folder's name is not`];
    });
    expect(wrong).toEqual([]);
  });

  it('of kernels begin with those of their folders, unless a folder holds a family', () => {
    const wrong = folders('kernels').flatMap((folder) => {
      const file = `${folder}/kernel.ts`;
      if (folder === 'kernels/core' || !existsSync(join(root, file))) return [];
      const names = [...readFileSync(join(root, file), 'utf8').matchAll(/\bname: ['`](\w+)/g)].map(([, name]) => name);
      const kernels = new Set(names.map((name) => name.replace(/(Grad|Step)$/, '')));
      if (kernels.size > 1) return []; // a family has a name of its own
      const [name] = [...kernels];
      const wanted = folder.slice('kernels/'.length).replaceAll('-', '');
      return name?.toLowerCase().startsWith(wanted)
        ? []
        : [`${file}: the kernel is called ${name}, the folder ${folder}`];
    });
    expect(wrong).toEqual([]);
  });
});

describe('messages', () => {
  const flat = (value: unknown, at = ''): [string, string][] =>
    typeof value === 'string'
      ? [[at, value]]
      : Object.entries(value as object).flatMap(([key, inner]) => flat(inner, at ? `${at}.${key}` : key));
  const english = new Map(flat(en));
  const russian = new Map(flat(ru));

  it('are there in both languages, none of them empty', () => {
    expect([...russian.keys()].sort()).toEqual([...english.keys()].sort());
    expect([...english, ...russian].filter(([, text]) => !text.trim()).map(([key]) => key)).toEqual([]);
  });

  it('take the same parameters in both languages', () => {
    const parameters = (text = '') => [...new Set([...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]))].sort();
    const differ = [...english].filter(([key, text]) => {
      const other = parameters(russian.get(key));
      // A plural form may leave its count out; {n} and {count} are then given all the same.
      return parameters(text).some((name) => name !== 'n' && name !== 'count' && !other.includes(name));
    });
    expect(differ.map(([key]) => key)).toEqual([]);
  });
});
