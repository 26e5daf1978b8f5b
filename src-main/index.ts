// Entry of the Electron host: opens the lab and shows its window.
import { startElectron } from './hosts/electron/main';

startElectron();
