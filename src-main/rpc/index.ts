// The RPC of an open lab: every noun with its inputs, behind one dispatcher.
import * as agreements from './agreements';
import * as app from './app';
import * as blocks from './blocks';
import type { Implementation } from './contract';
import * as devices from './devices';
import { dispatcher, type Schemas } from './dispatch';
import * as generations from './generations';
import type { Lab } from './lab';
import * as metrics from './metrics';
import * as models from './models';
import * as runs from './runs';
import * as settings from './settings';
import * as tasks from './tasks';
import * as texts from './texts';

const schemas: Schemas = {
  app: app.inputs,
  settings: settings.inputs,
  blocks: blocks.inputs,
  tasks: tasks.inputs,
  texts: texts.inputs,
  models: models.inputs,
  runs: runs.inputs,
  metrics: metrics.inputs,
  devices: devices.inputs,
  generations: generations.inputs,
  agreements: agreements.inputs,
};

const implement = (lab: Lab): Implementation => ({
  app: app.app(lab),
  settings: settings.settings(lab),
  blocks: blocks.blocks(),
  tasks: tasks.tasks(lab),
  texts: texts.texts(lab),
  models: models.models(lab),
  runs: runs.runs(lab),
  metrics: metrics.metrics(lab),
  devices: devices.devices(lab),
  generations: generations.generations(lab),
  agreements: agreements.agreements(lab),
});

/** Answers requests of any shape; see `dispatcher`. */
export const createRpc = (lab: Lab, complain?: (message: string) => void) =>
  dispatcher({ schemas, implementation: implement(lab), folder: lab.paths.folder, complain });
