// Temporary: worst errors.
import { it } from 'vitest';
import { parity } from '../../engine/parity';
it('prints', async () => {
  for (const b of ['differential_attention','mla','gla','gta']) for (const [device,path] of [['cpu','fused'],['cpu','reference'],['reference','fused']] as const) {
    const rows = await parity('/work/shared/golden/'+b, {device, path});
    const w: Record<string, string> = {};
    for (const ph of ['forward','extra','backward','decode']) { const r = rows.filter(r=>r.phase===ph).sort((a,b)=>(b.error??9)-(a.error??9))[0]; w[ph]=`${r.error?.toExponential(1)} ${r.tensor} ${r.case}`; }
    console.log(b, device, path, rows.length, rows.filter(r=>!r.ok).length, JSON.stringify(w));
  }
}, 60000);
