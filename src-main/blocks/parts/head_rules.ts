// Rules that blocks with heads have in common: what must divide what.
import type { Problem } from '../../spec/error';
import { divisorNear } from './sizes';

/** `groups`, called `what` ("key heads"), must divide the query heads. */
export function groupProblems(at: string, groups: number, what: string, heads: number): Problem[] {
  if (heads % groups === 0) return [];
  const fix = divisorNear(heads, groups);
  return [{ path: at, message: `${groups} ${what} do not divide ${heads} query heads`, hint: `try ${fix}`, fix }];
}

/** Where headDim is 0 a head takes width / (heads · parts) channels, which must be a whole number. */
export function widthProblems(at: string, heads: number, width: number, headDim: string, parts = 1): Problem[] {
  if (width % (heads * parts) === 0) return [];
  const share = parts === 1 ? 'width / heads' : `width / (${parts} × heads)`;
  const fix = divisorNear(Math.max(1, Math.floor(width / parts)), heads);
  const fits = width % (fix * parts) === 0;
  return [
    {
      path: at,
      message: `${heads} heads do not divide the width ${width}, and ${headDim} 0 asks for ${share}`,
      hint: fits ? `try ${fix} heads, or set ${headDim}` : `set ${headDim}`,
      ...(fits && { fix }),
    },
  ];
}
