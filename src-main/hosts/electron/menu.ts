// The menu bar as plain data, so that a test can read it; `main.ts` shows it.
import type { MenuItemConstructorOptions } from 'electron';
import type { Words } from './words';

export interface MenuActions {
  go(page: 'build' | 'runs' | 'compare' | 'generate' | 'device'): void;
  showFolder(): void;
}

/** `mac`: the first menu carries the program's name and what belongs there on macOS. */
export function menuTemplate(words: Words, actions: MenuActions, mac: boolean): MenuItemConstructorOptions[] {
  const line: MenuItemConstructorOptions = { type: 'separator' };
  const pages = (['build', 'runs', 'compare', 'generate', 'device'] as const).map(
    (page, i): MenuItemConstructorOptions => ({
      label: words[page],
      accelerator: `CmdOrCtrl+${i + 1}`,
      click: () => actions.go(page),
    }),
  );
  const own: MenuItemConstructorOptions[] = mac ? [{ role: 'appMenu' }] : [];
  return [
    ...own,
    {
      label: words.file,
      submenu: [
        { label: words.openFolder, accelerator: 'CmdOrCtrl+Shift+O', click: () => actions.showFolder() },
        line,
        mac ? { role: 'close', label: words.close } : { role: 'quit', label: words.quit, accelerator: 'CmdOrCtrl+Q' },
      ],
    },
    {
      label: words.edit,
      submenu: [
        { role: 'undo', label: words.undo },
        { role: 'redo', label: words.redo },
        line,
        { role: 'cut', label: words.cut },
        { role: 'copy', label: words.copy },
        { role: 'paste', label: words.paste },
        { role: 'selectAll', label: words.selectAll },
      ],
    },
    {
      label: words.view,
      submenu: [
        ...pages,
        line,
        { role: 'reload', label: words.reload },
        { role: 'resetZoom', label: words.actualSize },
        { role: 'zoomIn', label: words.zoomIn },
        { role: 'zoomOut', label: words.zoomOut },
        line,
        { role: 'togglefullscreen', label: words.fullScreen },
        { role: 'toggleDevTools', label: words.developer },
      ],
    },
    {
      label: words.window,
      role: 'window',
      submenu: [
        { role: 'minimize', label: words.minimise },
        { role: 'close', label: words.close },
      ],
    },
  ];
}
