// What can be done on the bench, said in one place: the canvas, the palette, menus and shortcuts all call these.
import { useI18n } from 'vue-i18n';
import { isBlock, isRepeat, type Node } from '../../src-main/spec/model';
import { useCatalogue } from '../stores/catalogue';
import { useBench } from './bench';
import * as doc from './document';

/** The actions bound to the bench; each tells a screen reader what it did. */
export function useActions() {
  const { t } = useI18n();
  const bench = useBench();
  const catalogue = useCatalogue();

  const say = (sentence: string) => {
    bench.announcement = sentence;
  };
  const titleOf = (node: Node): string =>
    isBlock(node)
      ? (catalogue.blockById.get(node.block)?.title ?? t('build.canvas.unknown', { id: node.block }))
      : isRepeat(node)
        ? t('build.canvas.repeat')
        : t('build.canvas.parallel');
  const place = (path: doc.Path) => ({ place: doc.lastIndex(path) + 1, count: bench.siblingsAt(path) });

  /** The gap after the selection, else the end of the stack. */
  function gapAfter(): doc.Path {
    const range = bench.selection;
    return range ? [...range.list, range.start + range.count] : [bench.model?.layers.length ?? 0];
  }
  const gapBefore = (): doc.Path => (bench.selection ? doc.firstOf(bench.selection) : [0]);

  function insertNodes(nodes: readonly Node[], gap: doc.Path = gapAfter()): void {
    if (!bench.model) bench.open(emptyNamed());
    if (!bench.model) return;
    bench.edit(doc.insert(bench.model, gap, nodes));
    say(t('build.said.inserted', { title: nodes.map(titleOf).join(', '), ...place(gap) }));
  }
  const insertBlock = (block: string, gap?: doc.Path): void => insertNodes([{ block }], gap);
  const emptyNamed = () => bench.fresh(t('build.untitled'));

  function moveTo(range: doc.Range, gap: doc.Path): void {
    if (!bench.model || doc.isIdleMove(range, gap)) return;
    bench.edit(doc.move(bench.model, range, gap));
    sayMoved();
  }
  function sayMoved(): void {
    const now = bench.selection;
    if (now) say(t(now.list.length ? 'build.said.movedInto' : 'build.said.moved', place(doc.firstOf(now))));
  }
  function moveBy(direction: -1 | 1): void {
    if (!bench.model || !bench.selection) return;
    const before = bench.model;
    bench.edit(doc.moveBy(before, bench.selection, direction, bench.isClosed));
    if (bench.model === before) say(t('build.said.notMoved'));
    else sayMoved();
  }

  /** Runs an edit on the selection and says so. */
  function onSelection(edit: (model: NonNullable<typeof bench.model>, range: doc.Range) => doc.Edit, said: string) {
    return () => {
      if (!bench.model || !bench.selection) return;
      bench.edit(edit(bench.model, bench.selection));
      say(t(said));
    };
  }
  return {
    titleOf,
    say,
    gapAfter,
    gapBefore,
    insertBlock,
    insertNodes,
    moveTo,
    moveBy,
    remove: onSelection(doc.remove, 'build.said.deleted'),
    duplicate: onSelection(doc.duplicate, 'build.said.duplicated'),
    group: onSelection((model, range) => doc.group(model, range), 'build.said.grouped'),
    branch: onSelection(doc.branch, 'build.said.branched'),
    ungroup: () => {
      if (!bench.model || !bench.selection || !bench.selectedNode || isBlock(bench.selectedNode)) return;
      bench.edit(doc.ungroup(bench.model, doc.firstOf(bench.selection)));
      say(t('build.said.ungrouped'));
    },
    undo: () => {
      bench.undo();
      say(t('build.said.undone'));
    },
    redo: () => {
      bench.redo();
      say(t('build.said.redone'));
    },
    /** Gives an empty document where none is open. */
    ensure: () => {
      if (!bench.active) bench.open(emptyNamed());
    },
  };
}
