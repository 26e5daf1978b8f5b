// Memorable names for runs: an adjective, an animal, and four characters that keep two of them apart.

const HOW = `amber brave brisk calm clear clever cosy crisp curious deep eager early fair fleet fresh gentle glad golden
  grand hardy honest keen kind lively lucid lucky mellow merry mild modest neat nimble noble patient plain polite prime
  proud quick quiet rapid ready rosy silver sleek smooth snug solid spry stable steady still sunny swift tidy true vivid
  warm wise witty`.split(/\s+/);
const WHO =
  `badger beaver bison crane curlew deer dolphin dove eagle egret falcon ferret finch fox gecko goose gull hare
  hawk heron hornbill ibex ibis jackdaw jay kestrel kite koala lark lemur linnet lynx magpie marten mole moose newt otter
  owl panda petrel pigeon plover puffin quail rabbit raven robin seal shrew skylark sparrow stoat stork swallow swan swift
  tern thrush toad viper vole walrus weasel wren yak zebra`.split(/\s+/);
/** Without letters that are read as another one. */
const TAIL = '23456789abcdefghjkmnpqrstuvwxyz';

/** `random(n)`: a whole number from 0 to n - 1. */
export function memorableName(random: (below: number) => number): string {
  const pick = (from: ArrayLike<string>) => from[random(from.length)];
  return `${pick(HOW)}-${pick(WHO)}-${Array.from({ length: 4 }, () => pick(TAIL)).join('')}`;
}
