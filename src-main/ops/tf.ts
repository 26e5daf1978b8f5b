// TF.js core with every gradient registered, and its JavaScript CPU backend: the only door through which the lab reaches TF.js.
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import '@tensorflow/tfjs-backend-cpu';

export * from '@tensorflow/tfjs-core';
