// The RPC over Electron's IPC: requests are taken from the window's own main frame only.
import { type IpcMainEvent, ipcMain, type WebContents } from 'electron';
import type { Message, Notice, Reply } from '../../rpc/contract';
import type { Caller } from '../../rpc/method';
import { ASK, TELL } from './channels';
import { isOurs } from './harden';

export interface IpcOptions {
  contents: WebContents;
  home: string;
  answer(request: unknown, caller: Caller): Promise<Reply>;
  listen(listener: (notice: Notice) => void): () => void;
}

/** Connects one window; returns how to disconnect it. */
export function connectWindow({ contents, home, answer, listen }: IpcOptions): () => void {
  const say = (message: Message) => {
    if (!contents.isDestroyed()) contents.send(TELL, message);
  };
  // A page that is loaded anew is another window to whatever the old one asked for.
  let leaving = new AbortController();
  const leave = () => {
    leaving.abort();
    leaving = new AbortController();
  };
  contents.on('did-navigate', leave).on('render-process-gone', leave);
  const ask = (event: IpcMainEvent, request: unknown) => {
    const frame = event.senderFrame;
    if (event.sender !== contents || !frame || frame !== contents.mainFrame || !isOurs(frame.url, home)) return;
    const caller: Caller = { tell: (notice) => say({ notice }), gone: leaving.signal };
    void answer(request, caller).then(say);
  };
  ipcMain.on(ASK, ask);
  const deafen = listen((notice) => say({ notice }));
  return () => {
    ipcMain.off(ASK, ask);
    deafen();
    contents.off('did-navigate', leave).off('render-process-gone', leave);
    leave();
  };
}
