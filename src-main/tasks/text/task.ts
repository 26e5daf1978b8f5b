// Next-token prediction on a text: bundled, the user's, or any file.
import { choice, float, int, text } from '../../spec/options';
import { defineTask } from '../define';
import { makeText } from './make';

export default defineTask({
  id: 'text',
  kind: 'text',
  title: 'Text',
  version: 1,
  options: {
    source: text('moby-dick', {
      maxLength: 4096,
      help: 'moby-dick, sotu, the id of a text that you added, or the absolute path of a file or folder.',
    }),
    vocabulary: choice('bytes', {
      choices: ['bytes', 'characters'],
      help: 'bytes: 256 ids, any file; characters: the characters that the text has, one id each.',
    }),
    tokens: int(128, { min: 1, max: 65_536, help: 'Context length T: tokens a window.' }),
    trainShare: float(0.9, {
      min: 0.01,
      max: 0.99,
      help: 'The first part of the text is trained on, the rest validates.',
    }),
  },
  presets: {
    desk: { source: 'moby-dick', vocabulary: 'bytes', tokens: 128 },
    speeches: { source: 'sotu', vocabulary: 'bytes', tokens: 256 },
    characters: { source: 'moby-dick', vocabulary: 'characters', tokens: 128 },
  },
  headline: { metric: 'loss/validation', better: 'lower' },
  make: makeText,
});
