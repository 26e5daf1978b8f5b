// The bridge between the window and main in Electron: it sends requests, hears messages, and can do no more.
import { contextBridge, type IpcRendererEvent, ipcRenderer } from 'electron';
import { ASK, TELL } from './hosts/electron/channels';
import type { Message, Request } from './rpc/contract';

contextBridge.exposeInMainWorld('archlab', {
  send: (request: Request): void => ipcRenderer.send(ASK, request),
  onMessage(listener: (message: Message) => void): void {
    ipcRenderer.on(TELL, (_event: IpcRendererEvent, message: Message) => listener(message));
  },
});
