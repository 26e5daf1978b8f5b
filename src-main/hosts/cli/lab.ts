// The runs of a lab folder, read from the folders themselves into a store in memory: the same answers whether a lab is open on it or not.
import { catchUp, importFolders } from '../../runs/catch-up';
import { labFolder, labPaths, type LabPaths } from '../../runs/folder';
import { openStore, type Store } from '../../store/open';
import { say } from './command';

export interface Index {
  paths: LabPaths;
  store: Store;
  [Symbol.dispose](): void;
}

/** Reads every run of the lab; broken folders are said and passed over. */
export function readLab(folder?: string): Index {
  const paths = labPaths(labFolder(folder));
  const { store } = openStore(':memory:');
  for (const id of importFolders(store, paths, say)) catchUp(store, paths, id);
  return { paths, store, [Symbol.dispose]: () => store.close() };
}
