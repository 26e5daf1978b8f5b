// One event of a run's log as one line of text, for people; the log itself stays JSON.
import type { RunEvent } from '../../../src-main/spec/event';

const short = (value: number | null) => (value === null ? 'NaN' : Number(value.toPrecision(5)).toString());

export function logLine(event: RunEvent): string {
  switch (event.kind) {
    case 'started':
      return `${event.resumed ? 'resumed' : 'started'} by process ${event.pid}, version ${event.version}`;
    case 'built': {
      const { parameters, device, deviceDetail, threads, precision, fallbacks } = event.facts;
      return `built ${parameters} parameters on ${device} (${deviceDetail}), ${threads} threads, ${precision}${fallbacks.length ? `; reference path for ${fallbacks.join(', ')}` : ''}`;
    }
    case 'state':
      return event.status;
    case 'metric':
    case 'evaluation':
      return Object.entries(event.values)
        .map(([name, value]) => `${name} ${short(value)}`)
        .join('  ');
    case 'sample':
      return event.fills
        ? `filled in ${JSON.stringify(event.text)}`
        : `sample ${JSON.stringify(event.prompt + event.text)}`;
    case 'load':
      return `load ${short(event.cpuPercent)} % CPU, ${short(event.rssBytes / 1e6)} MB, ${event.tensors} tensors in ${short(event.tensorBytes / 1e6)} MB`;
    case 'checkpoint':
      return `checkpoint ${event.file} (${short(event.sizeBytes / 1e6)} MB)${event.final ? ', final' : ''}`;
    case 'warning':
      return `warning ${event.code}: ${event.message}`;
    case 'ended':
      return `${event.status}: ${event.why}`;
  }
}
