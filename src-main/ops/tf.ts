// TF.js core with every gradient registered, and its JavaScript CPU backend: the only door through which the lab reaches TF.js.
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import '@tensorflow/tfjs-backend-cpu';
import { findBackend } from '@tensorflow/tfjs-core';

export * from '@tensorflow/tfjs-core';

// On first use the JavaScript backend advertises tfjs-node on the console; there is nothing for our users in that.
(findBackend('cpu') as unknown as { firstUse: boolean }).firstUse = false;
