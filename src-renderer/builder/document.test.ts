// Edits keep the model valid, land where they should, and come back byte for byte.
import { describe, expect, it } from 'vitest';
import { isRepeat, type ModelSpec, modelSchema, type Node, walk } from '../../src-main/spec/model';
import * as doc from './document';
import { begin, record, redo, undo } from './history';
import { keyOf } from './keys';

const block = (name: string): Node => ({ block: name });
const model = (...layers: Node[]): ModelSpec => ({
  format: 'archlab.model/1',
  width: 64,
  positions: 'none',
  layers,
  finalNorm: 'rms',
  head: { tied: true },
});
/** `a (b c)×2 [d | e]` */
function short(layers: readonly Node[]): string {
  return layers
    .map((node) =>
      'block' in node
        ? node.block
        : 'repeat' in node
          ? `(${short(node.layers)})×${node.repeat}`
          : `[${node.parallel.map(short).join(' | ')}]`,
    )
    .join(' ');
}
const nested = () =>
  model(
    block('a'),
    { repeat: 2, layers: [block('b'), block('c')] },
    { parallel: [[block('d')], [block('e'), block('f')]], combine: 'sum' },
  );
const result = ({ model: next, select }: doc.Edit) => ({
  text: short(next.layers),
  at: select && [...doc.firstOf(select), `+${select.count}`].join(' '),
});

/** A repeatable source of numbers in [0, 1). */
function draws(seed: number) {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return state / 4_294_967_296;
  };
}

describe('edits', () => {
  it('inserts at any gap, in groups and branches too', () => {
    expect(result(doc.insert(nested(), [0], [block('x')]))).toEqual({ text: 'x a (b c)×2 [d | e f]', at: '0 +1' });
    expect(result(doc.insert(nested(), [1, 2], [block('x')]))).toEqual({ text: 'a (b c x)×2 [d | e f]', at: '1 2 +1' });
    expect(result(doc.insert(nested(), [2, 1, 1], [block('x')]))).toEqual({
      text: 'a (b c)×2 [d | e x f]',
      at: '2 1 1 +1',
    });
    expect(result(doc.insert(model(), [0], [block('x')]))).toEqual({ text: 'x', at: '0 +1' });
  });

  it('moves down and up within a list', () => {
    const m = model(block('a'), block('b'), block('c'));
    expect(result(doc.move(m, doc.rangeAt([0]), [2]))).toEqual({ text: 'b a c', at: '1 +1' });
    expect(result(doc.move(m, doc.rangeAt([2]), [0]))).toEqual({ text: 'c a b', at: '0 +1' });
    expect(result(doc.move(m, doc.rangeAt([0], 2), [3]))).toEqual({ text: 'c a b', at: '1 +2' });
  });

  it('moves into and out of groups, and takes an emptied group away', () => {
    expect(result(doc.move(nested(), doc.rangeAt([0]), [1, 1]))).toEqual({ text: '(b a c)×2 [d | e f]', at: '0 1 +1' });
    expect(result(doc.move(nested(), doc.rangeAt([1, 0]), [0]))).toEqual({ text: 'b a (c)×2 [d | e f]', at: '0 +1' });
    expect(result(doc.move(nested(), doc.rangeAt([1, 0], 2), [3]))).toEqual({ text: 'a [d | e f] b c', at: '2 +2' });
    expect(result(doc.move(nested(), doc.rangeAt([2, 0, 0]), [0]))).toEqual({ text: 'd a (b c)×2 e f', at: '0 +1' });
  });

  it('never puts a group into itself', () => {
    const m = nested();
    expect(doc.move(m, doc.rangeAt([1]), [1, 1]).model).toBe(m);
    expect(doc.move(m, doc.rangeAt([1]), [2]).model).toBe(m);
  });

  it('walks a block through every gap by single moves, down and back up', () => {
    const down: string[] = [];
    let edit: doc.Edit = { model: nested(), select: doc.rangeAt([0]) };
    for (let i = 0; i < 7; i++) {
      edit = doc.moveBy(edit.model, edit.select!, 1);
      down.push(short(edit.model.layers));
    }
    expect(down).toEqual([
      '(a b c)×2 [d | e f]',
      '(b a c)×2 [d | e f]',
      '(b c a)×2 [d | e f]',
      '(b c)×2 a [d | e f]',
      '(b c)×2 [a d | e f]',
      '(b c)×2 [d a | e f]',
      '(b c)×2 [d | a e f]',
    ]);
    for (let i = 0; i < 7; i++) edit = doc.moveBy(edit.model, edit.select!, -1);
    expect(short(edit.model.layers)).toBe(short(nested().layers));
    expect(doc.moveBy(edit.model, edit.select!, -1).model).toBe(edit.model);
  });

  it('passes closed groups by', () => {
    expect(result(doc.moveBy(nested(), doc.rangeAt([0]), 1, isRepeat))).toEqual({
      text: '(b c)×2 a [d | e f]',
      at: '1 +1',
    });
  });

  it('removes and selects the neighbour', () => {
    expect(result(doc.remove(nested(), doc.rangeAt([0])))).toEqual({ text: '(b c)×2 [d | e f]', at: '0 +1' });
    expect(result(doc.remove(nested(), doc.rangeAt([1, 1])))).toEqual({ text: 'a (b)×2 [d | e f]', at: '1 0 +1' });
    expect(result(doc.remove(nested(), doc.rangeAt([1, 0], 2)))).toEqual({ text: 'a [d | e f]', at: '1 +1' });
    expect(result(doc.remove(model(block('a')), doc.rangeAt([0])))).toEqual({ text: '', at: null });
  });

  it('groups, branches, ungroups and duplicates', () => {
    expect(result(doc.group(nested(), doc.rangeAt([0], 2), 3))).toEqual({
      text: '(a (b c)×2)×3 [d | e f]',
      at: '0 +1',
    });
    expect(result(doc.branch(nested(), doc.rangeAt([0])))).toEqual({ text: '[a | a] (b c)×2 [d | e f]', at: '0 +1' });
    expect(result(doc.ungroup(nested(), [1]))).toEqual({ text: 'a b c [d | e f]', at: '1 +2' });
    expect(result(doc.ungroup(nested(), [2]))).toEqual({ text: 'a (b c)×2 d e f', at: '2 +3' });
    const copied = doc.duplicate(nested(), doc.rangeAt([1]));
    expect(result(copied)).toEqual({ text: 'a (b c)×2 (b c)×2 [d | e f]', at: '2 +1' });
    expect(keyOf(copied.model.layers[1])).not.toBe(keyOf(copied.model.layers[2]));
  });

  it('sets an option, and leaves no trace when it is reset', () => {
    const m = model(block('a'));
    const set = doc.setOption(m, [0], 'heads', 8).model;
    expect(set.layers[0]).toEqual({ block: 'a', options: { heads: 8 } });
    expect(keyOf(set.layers[0])).toBe(keyOf(m.layers[0]));
    expect(JSON.stringify(doc.setOption(set, [0], 'heads', undefined).model)).toBe(JSON.stringify(m));
  });

  it('writes paths as specs do and finds them again', () => {
    const m = nested();
    const written = [...walk(m.layers)].map(({ path }) => path);
    const ours = [...doc.nodes(m.layers)].map(({ path }) => path);
    expect(ours.map((path) => doc.dotted(m.layers, path))).toEqual(written);
    expect(written.map((path) => doc.locate(`${path}.options.heads`))).toEqual(
      ours.map((node) => ({ node, field: 'options.heads' })),
    );
    expect(doc.locate('model.width')).toEqual({ node: [], field: 'width' });
    expect(doc.locate('model.layers')).toEqual({ node: [], field: 'layers' });
  });

  it('applies a fix at a node and at the model', () => {
    expect(doc.applyFix(nested(), 'model.layers[1].layers[0].options.heads', 4).model.layers[1]).toEqual({
      repeat: 2,
      layers: [{ block: 'b', options: { heads: 4 } }, { block: 'c' }],
    });
    expect(doc.applyFix(nested(), 'model.head.tied', false).model.head).toEqual({ tied: false });
  });
});

describe('history', () => {
  it('gives the document back byte for byte after 100 random edits are undone, and the edits after redo', () => {
    for (const seed of [1, 2, 3]) {
      const draw = draws(seed);
      const pick = <T>(list: readonly T[]): T => list[Math.floor(draw() * list.length)];
      const start = nested();
      const first = JSON.stringify(start);
      let history = begin(start);
      const texts = [first];
      while (texts.length <= 100) {
        const m = history.present;
        const gap = pick([...doc.gaps(m.layers)]);
        const places = [...doc.nodes(m.layers)];
        const at = places.length ? pick(places).path : undefined;
        const siblings = at ? doc.listAt(m.layers, doc.parentList(at)).length - doc.lastIndex(at) : 0;
        const range = at && doc.rangeAt(at, 1 + Math.floor(draw() * Math.min(3, siblings)));
        const edits: (() => doc.Edit)[] = [() => doc.insert(m, gap, [block(pick(['p', 'q', 'r']))])];
        if (range && at && places.length < 60)
          edits.push(
            () => doc.move(m, range, gap),
            () => doc.moveBy(m, range, draw() < 0.5 ? -1 : 1),
            () => doc.duplicate(m, range),
            () => doc.group(m, range, 1 + Math.floor(draw() * 5)),
            () => doc.branch(m, range),
          );
        if (range && at)
          edits.push(
            () => doc.remove(m, range),
            () => doc.ungroup(m, at),
            () => doc.setOption(m, at, 'heads', draw() < 0.3 ? undefined : Math.floor(draw() * 64)),
          );
        const { model: next, select } = pick(edits)();
        const check = modelSchema.safeParse(next);
        expect(check.error?.issues ?? []).toEqual([]);
        if (select) expect(doc.nodeAt(next.layers, doc.firstOf(select)), 'what is selected is there').toBeDefined();
        history = record(history, next);
        if (history.present !== m) texts.push(JSON.stringify(next));
      }
      for (let i = 99; i >= 0; i--) {
        history = undo(history);
        expect(JSON.stringify(history.present)).toBe(texts[i]);
      }
      expect(undo(history)).toBe(history);
      for (let i = 1; i <= 100; i++) history = redo(history);
      expect(JSON.stringify(history.present)).toBe(texts[100]);
      expect(redo(history)).toBe(history);
    }
  });

  it('joins quick edits with one tag into one step, and only those', () => {
    let h = begin(0);
    h = record(h, 1, { tag: 'width', atMs: 1000 });
    h = record(h, 12, { tag: 'width', atMs: 1300 });
    h = record(h, 128, { tag: 'width', atMs: 1600 });
    h = record(h, 129, { tag: 'width', atMs: 9000 });
    h = record(h, 130, { tag: 'heads', atMs: 9001 });
    expect(h.past).toEqual([0, 128, 129]);
  });
});
