// Multi-query associative recall: pairs come once, later each key must call up its value.
import { choice, float, int, list } from '../../spec/options';
import { defineTask } from '../define';
import { makeMqar } from './make';

export default defineTask({
  id: 'mqar',
  kind: 'synthetic',
  title: 'MQAR: recall of many pairs',
  version: 1,
  options: {
    vocabulary: int(256, {
      min: 8,
      max: 65_536,
      help: 'V: keys are drawn from 1 to V/2 - 1, values from V/2 to V - 1; 0 is the blank.',
    }),
    trainLengths: list([32, 64, 64], {
      min: 4,
      max: 65_536,
      maxItems: 16,
      help: 'L of each training setting; the settings take turns.',
    }),
    trainPairs: list([2, 4, 8], {
      min: 1,
      max: 16_384,
      maxItems: 16,
      help: 'K, pairs to remember, of each training setting.',
    }),
    testLengths: list([64, 64], { min: 4, max: 65_536, maxItems: 16, help: 'L of each test setting.' }),
    testPairs: list([4, 8], { min: 1, max: 16_384, maxItems: 16, help: 'K of each test setting.' }),
    power: float(0.01, {
      min: 0.001,
      max: 10,
      log: true,
      help: 'a: how far from the pairs the queries come. Near 0: mostly soon; 1: anywhere.',
    }),
    passes: int(1, { min: 1, max: 64, help: 'P: how often the block of pairs is repeated.' }),
    fill: choice('safe', {
      choices: ['random', 'zero', 'safe'],
      help: 'What stands between the queries: any id, blanks, or any id that is no key of its row.',
    }),
    rows: int(0, {
      min: 0,
      max: 100_000_000,
      help: 'Different training rows of each setting; 0 makes a new one every time.',
    }),
    testRows: int(1000, { min: 1, max: 100_000, help: 'Test rows of each setting.' }),
  },
  presets: {
    desk: {},
    'desk-longer': { testLengths: [64, 64, 128, 256], testPairs: [4, 8, 16, 32] },
    'paper-zoology': {
      vocabulary: 8192,
      trainLengths: [64, 128, 256],
      trainPairs: [4, 8, 16],
      testLengths: [64, 128, 256],
      testPairs: [4, 8, 16],
      fill: 'zero',
      rows: 100_000,
      testRows: 3000,
    },
    'paper-based': {
      vocabulary: 8192,
      trainLengths: [64, 128, 256, 256, 256],
      trainPairs: [4, 8, 16, 32, 64],
      testLengths: [64, 64, 64, 128, 256, 512, 1024],
      testPairs: [4, 8, 16, 32, 64, 128, 256],
      fill: 'random',
      rows: 20_000,
      testRows: 1000,
    },
  },
  headline: { metric: 'accuracy_sample/validation', better: 'higher' },
  make: makeMqar,
});
