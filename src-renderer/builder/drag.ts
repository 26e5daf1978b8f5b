// Drag and drop on the canvas: what is dragged, where it would land, and scrolling near the edges.
import { draggable, dropTargetForElements } from '@atlaskit/pragmatic-drag-and-drop/adapter/element-adapter';
import { attachClosestEdge } from '@atlaskit/pragmatic-drag-and-drop-hitbox/closest-edge/attach-closest-edge';
import { extractClosestEdge } from '@atlaskit/pragmatic-drag-and-drop-hitbox/closest-edge/extract-closest-edge';
import { onBeforeUnmount, onMounted, type Ref, shallowRef } from 'vue';
import type { Path, Range } from './document';

/** A block from the palette, or nodes of the document. */
export type Dragged = { kind: 'block'; block: string } | { kind: 'nodes'; range: Range };

/** The gap where the drag would land now; the gap draws itself as the target. */
export const dropGap = shallowRef<Path | null>(null);
/** What is under way, null when nothing is. */
export const dragging = shallowRef<Dragged | null>(null);

/** Makes an element draggable while its component lives. */
export function useDraggable(element: Ref<HTMLElement | null>, data: () => Dragged): void {
  let stop = () => {};
  onMounted(() => {
    if (!element.value) return;
    stop = draggable({
      element: element.value,
      getInitialData: () => data() as unknown as Record<string, unknown>,
      onDragStart: () => {
        dragging.value = data();
      },
      onDrop: () => {
        dragging.value = null;
      },
    });
  });
  onBeforeUnmount(() => stop());
}

/** Lets an element take drops at one gap. */
export function useGapTarget(element: Ref<HTMLElement | null>, gap: () => Path): void {
  let stop = () => {};
  onMounted(() => {
    if (element.value) stop = dropTargetForElements({ element: element.value, getData: () => ({ gap: gap() }) });
  });
  onBeforeUnmount(() => stop());
}

/** Lets a node take drops at the gap above it or below it, whichever edge is closer. */
export function useNodeTarget(element: Ref<HTMLElement | null>, above: () => Path, below: () => Path): void {
  let stop = () => {};
  onMounted(() => {
    if (!element.value) return;
    stop = dropTargetForElements({
      element: element.value,
      getData: ({ input, element: target }) =>
        attachClosestEdge(
          { above: above(), below: below() },
          { input, element: target, allowedEdges: ['top', 'bottom'] },
        ),
    });
  });
  onBeforeUnmount(() => stop());
}

/** The gap that the innermost drop target stands for. */
export function gapOf(targets: readonly { data: Record<string | symbol, unknown> }[]): Path | null {
  const data = targets[0]?.data;
  if (!data) return null;
  if (data.gap) return data.gap as Path;
  return (extractClosestEdge(data) === 'top' ? data.above : data.below) as Path;
}

const EDGE_PX = 48;
const STEP_PX = 14;

/** Scrolls an element while the pointer is near its upper or lower edge; called as the drag moves. */
export function scrollNearEdge(element: HTMLElement, clientY: number): void {
  const { top, bottom } = element.getBoundingClientRect();
  if (clientY < top + EDGE_PX) element.scrollTop -= STEP_PX;
  else if (clientY > bottom - EDGE_PX) element.scrollTop += STEP_PX;
}
