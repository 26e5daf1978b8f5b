// @vitest-environment happy-dom
// Key presses find the right shortcut, on any keyboard layout, and leave typing alone.
import { createPinia, setActivePinia } from 'pinia';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { effectScope } from 'vue';
import { keyCaps, matches, useShortcuts } from './shortcuts';

const press = (init: KeyboardEventInit) => new KeyboardEvent('keydown', { bubbles: true, cancelable: true, ...init });

describe('chords', () => {
  it('match letters by the place of the key, so a Russian layout works', () => {
    const undo = { key: 'z', mod: true };
    expect(matches(press({ key: 'z', code: 'KeyZ', ctrlKey: true }), undo, false)).toBe(true);
    expect(matches(press({ key: 'я', code: 'KeyZ', ctrlKey: true }), undo, false)).toBe(true);
    expect(matches(press({ key: 'z', code: 'KeyZ', ctrlKey: true, shiftKey: true }), undo, false)).toBe(false);
    expect(matches(press({ key: 'z', code: 'KeyZ', metaKey: true }), undo, true)).toBe(true);
    expect(matches(press({ key: 'z', code: 'KeyZ', metaKey: true }), undo, false)).toBe(false);
  });

  it('are shown as the platform names them', () => {
    expect(keyCaps({ key: 'z', mod: true, shift: true }, false)).toEqual(['Ctrl', 'Shift', 'Z']);
    expect(keyCaps({ key: 'ArrowUp', alt: true }, true)).toEqual(['⌥', 'ArrowUp']);
  });
});

describe('shortcuts in force', () => {
  beforeEach(() => {
    setActivePinia(createPinia());
    document.body.innerHTML = '<input id="field"><div id="place"></div>';
  });
  const at = (id: string, init: KeyboardEventInit) => {
    const event = press(init);
    document.getElementById(id)?.dispatchEvent(event);
    return event;
  };

  it('run while their page is shown, and not from within a field', () => {
    const shortcuts = useShortcuts();
    const run = vi.fn();
    const scope = effectScope();
    scope.run(() => shortcuts.use({ title: '', shortcuts: [{ chord: { key: 'b' }, label: '', run }] }));
    shortcuts.handle(at('place', { key: 'b', code: 'KeyB' }));
    shortcuts.handle(at('field', { key: 'b', code: 'KeyB' }));
    expect(run).toHaveBeenCalledTimes(1);
    scope.stop();
    shortcuts.handle(at('place', { key: 'b', code: 'KeyB' }));
    expect(run).toHaveBeenCalledTimes(1);
  });

  it('wait for the second key of two', () => {
    const shortcuts = useShortcuts();
    const go = vi.fn();
    const scope = effectScope();
    scope.run(() => shortcuts.use({ title: '', shortcuts: [{ chord: { key: 'b' }, after: 'g', label: '', run: go }] }));
    shortcuts.handle(at('place', { key: 'b', code: 'KeyB' }));
    expect(go).not.toHaveBeenCalled();
    shortcuts.handle(at('place', { key: 'g', code: 'KeyG' }));
    shortcuts.handle(at('place', { key: 'b', code: 'KeyB' }));
    expect(go).toHaveBeenCalledTimes(1);
    scope.stop();
  });
});
