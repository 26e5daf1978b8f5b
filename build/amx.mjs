// Proves the products on tiles (AMX) without such a processor: boots Linux in Bochs, on test/amx/products.cc as its only program, and tells what that says.
// Takes about two minutes on an idle core. docs/architecture.md, "AMX without the processor", tells how to get what it needs.
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { gnu, MATHS, TILES } from './native.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const out = join(root, 'out', 'amx');
/** Where Debian's packages bochsbios and vgabios lay what the machine starts with. */
const { BIOS = '/usr/share/bochs/BIOS-bochs-latest', VGABIOS = '/usr/share/vgabios/vgabios.bin' } = process.env;
const usage = "Usage: node build/amx.mjs <folder of Bochs's sources, mended and built> <kernel image, vmlinuz-...>";

/** The files of a system in the format that Linux unpacks ("newc" cpio). */
function archive(files) {
  const parts = [];
  const pad = (buffer) => Buffer.concat([buffer, Buffer.alloc((4 - (buffer.length % 4)) % 4)]);
  [...Object.entries(files), ['TRAILER!!!', Buffer.alloc(0)]].forEach(([name, data], i) => {
    const mode = data.length ? 0o100755 : 0;
    const fields = [i + 1, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
    const head = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`;
    parts.push(pad(Buffer.from(head)), pad(data));
  });
  return Buffer.concat(parts);
}

/** The program, linked statically from the kernels' own sources with the flags of their build. */
function program() {
  const target = join(out, 'init');
  const cores = ['gemm', 'few', 'panel', 'product', 'strips', 'tiles', 'pool'].map((name) =>
    join(root, 'kernels/core', `${name}.cc`),
  );
  const flags = [
    '-std=c++17',
    '-O3',
    '-static',
    '-pthread',
    ...MATHS,
    ...gnu[TILES.of],
    ...TILES.flags,
    `-DLAB_ISA="${TILES.of}"`,
  ];
  execFileSync(process.env.CXX ?? 'g++', [...flags, join(root, 'test/amx/products.cc'), ...cores, '-o', target]);
  return readFileSync(target);
}

/** A disc that boots the kernel with the program. */
function disc(kernel) {
  const tree = join(out, 'disc');
  rmSync(tree, { recursive: true, force: true });
  mkdirSync(join(tree, 'isolinux'), { recursive: true });
  copyFileSync('/usr/lib/ISOLINUX/isolinux.bin', join(tree, 'isolinux/isolinux.bin'));
  copyFileSync('/usr/lib/syslinux/modules/bios/ldlinux.c32', join(tree, 'isolinux/ldlinux.c32'));
  copyFileSync(kernel, join(tree, 'vmlinuz'));
  writeFileSync(join(tree, 'initrd.gz'), gzipSync(archive({ init: program() })));
  const options = 'initrd=/initrd.gz console=ttyS0,115200 nosmp acpi=off nokaslr mitigations=off panic=-1';
  writeFileSync(
    join(tree, 'isolinux/isolinux.cfg'),
    `default linux\nprompt 0\nlabel linux\n kernel /vmlinuz\n append ${options}\n`,
  );
  const boot = [
    '-b',
    'isolinux/isolinux.bin',
    '-c',
    'isolinux/boot.cat',
    '-no-emul-boot',
    '-boot-load-size',
    '4',
    '-boot-info-table',
  ];
  execFileSync('xorriso', ['-as', 'mkisofs', '-quiet', '-o', join(out, 'disc.iso'), ...boot, tree], { stdio: 'pipe' });
}

/** A machine with the processor; what the program writes to port e9 comes out of Bochs itself. */
const machine = `config_interface: textconfig
display_library: nogui
cpu: model=sapphire_rapids, count=1, ips=100000000, reset_on_triple_fault=0
memory: guest=512, host=512
romimage: file=${BIOS}
vgaromimage: file=${VGABIOS}
ata0-master: type=cdrom, path=${join(out, 'disc.iso')}, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=${join(out, 'console.txt')}
port_e9_hack: enabled=1
clock: sync=none
log: ${join(out, 'bochs.txt')}
panic: action=fatal
`;

const [bochs, kernel] = process.argv.slice(2).map((path) => resolve(path));
if (!kernel) throw new Error(usage);
for (const path of [join(bochs, 'bochs'), kernel, BIOS, VGABIOS])
  if (!existsSync(path)) throw new Error(`${path} is not there. ${usage}`);
mkdirSync(out, { recursive: true });
disc(kernel);
writeFileSync(join(out, 'bochsrc'), machine);
const child = spawn(join(bochs, 'bochs'), ['-q', '-f', join(out, 'bochsrc')], { stdio: ['ignore', 'pipe', 'inherit'] });
let said = '';
child.stdout.on('data', (text) => {
  process.stdout.write(text);
  said += text;
});
child.on('close', () => {
  if (/^PASSED/m.test(said)) return;
  console.error(
    `The program did not end well; what the kernel said lies in ${join(out, 'console.txt')}, what Bochs said in ${join(out, 'bochs.txt')}.`,
  );
  process.exitCode = 1;
});
