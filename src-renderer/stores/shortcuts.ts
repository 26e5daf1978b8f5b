// Keyboard shortcuts in force: each page adds its own while it is shown, and the help dialog lists what really works.
import { defineStore } from 'pinia';
import { computed, onScopeDispose, shallowRef } from 'vue';

/** `mod` is Ctrl, or Cmd on a Mac. `key` is as KeyboardEvent.key, letters in lower case. */
export interface Chord {
  key: string;
  mod?: boolean;
  shift?: boolean;
  alt?: boolean;
}

const isMac = (): boolean => /mac/i.test(navigator.platform);

/** Letters are matched by the place of the key, so that shortcuts work on a Russian layout too. */
export function matches(event: KeyboardEvent, chord: Chord, mac = isMac()): boolean {
  const key = /^[a-z]$/.test(chord.key) ? event.code === `Key${chord.key.toUpperCase()}` : event.key === chord.key;
  const mod = mac ? event.metaKey : event.ctrlKey;
  const other = mac ? event.ctrlKey : event.metaKey;
  return key && mod === !!chord.mod && !other && event.shiftKey === !!chord.shift && event.altKey === !!chord.alt;
}

/** The keys of a chord in the order they are pressed, as printed on the keyboard; arrows stay `ArrowUp` and so on. */
export function keyCaps(chord: Chord, mac = isMac()): string[] {
  const caps = [
    chord.mod && (mac ? '⌘' : 'Ctrl'),
    chord.alt && (mac ? '⌥' : 'Alt'),
    chord.shift && (mac ? '⇧' : 'Shift'),
    chord.key.length === 1 ? chord.key.toUpperCase() : chord.key,
  ];
  return caps.filter((cap): cap is string => !!cap);
}

/** True while the user types into a field, where single keys belong to the text. */
function isTyping(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement | null;
  return !!target?.closest('input, textarea, select, [contenteditable="true"]');
}

export interface Shortcut {
  chord: Chord;
  /** A letter to press first: `g` then `b`. */
  after?: string;
  /** Key of the sentence in the catalogue. */
  label: string;
  run(event: KeyboardEvent): void;
  /** Works while typing into a field too. */
  typing?: boolean;
}
export interface ShortcutGroup {
  /** Key of the group's title in the catalogue. */
  title: string;
  shortcuts: Shortcut[];
  /** Only listed: the part of the page that has the focus handles the keys itself. */
  listed?: boolean;
}

/** How long a first letter waits for its second. */
const PREFIX_MS = 1500;

export const useShortcuts = defineStore('shortcuts', () => {
  const groups = shallowRef<ShortcutGroup[]>([]);

  let prefix = { key: '', untilMs: 0 };

  /** Puts a group in force until the calling component goes. */
  function use(group: ShortcutGroup): void {
    groups.value = [...groups.value, group];
    onScopeDispose(() => {
      groups.value = groups.value.filter((other) => other !== group);
    });
  }

  /** Runs the first shortcut that fits; a dialog that is open keeps its keys. */
  function handle(event: KeyboardEvent): void {
    if (event.defaultPrevented || document.querySelector('.n-modal, .n-dialog')) return;
    const typing = isTyping(event);
    const first = event.timeStamp < prefix.untilMs ? prefix.key : '';
    prefix = { key: '', untilMs: 0 };
    for (const group of groups.value) {
      if (group.listed) continue;
      const hit = group.shortcuts.find(
        (s) => (s.typing || !typing) && (s.after ?? '') === first && matches(event, s.chord),
      );
      if (hit) {
        event.preventDefault();
        hit.run(event);
        return;
      }
      const begins = group.shortcuts.find((s) => s.after && !typing && matches(event, { key: s.after }));
      if (begins) prefix = { key: begins.after ?? '', untilMs: event.timeStamp + PREFIX_MS };
    }
  }
  return { groups: computed(() => groups.value), use, handle };
});
