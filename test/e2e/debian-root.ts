import { execFileSync, spawnSync } from 'node:child_process';
import { lstatSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** What is in Debian's smallest image, as far as an agent and its tasks need it. */
const WANTED = ['base-files', 'base-passwd', 'bash', 'coreutils', 'dash', 'grep', 'libstdc++6', 'sed', 'util-linux'];
/** What configures packages: nothing is installed in there. */
const LEFT_OUT = ['debconf', 'debianutils', 'dpkg', 'libpam0g', 'libdebconfclient0', 'perl-base', 'passwd'];
/** Written by packages' scripts, or links that join `/bin` and `/usr/bin`: no package's own. */
const MORE = ['/bin', '/sbin', '/lib', '/lib64', '/etc/passwd', '/etc/group'];
const NEEDLESS = /^\/usr\/share\/(doc|man|locale|info|lintian|bash-completion)\//;

/** Writes a tar file with a small Debian, made of files of this one's packages; undefined where this machine is no Debian. */
export function debianRoot(tar: string): string | undefined {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the placeholders are dpkg-query's.
  const format = '${Package}\t${Pre-Depends}, ${Depends}\n';
  const { status, stdout } = spawnSync('dpkg-query', ['--show', `--showformat=${format}`], { encoding: 'utf8' });
  if (status !== 0) return undefined;
  const depends = new Map<string, string[]>();
  for (const line of stdout.split('\n')) {
    const [name = '', wants = ''] = line.split('\t');
    // The first of alternatives, without its version or architecture.
    const names = wants.split(',').flatMap((want) => /[^\s:(|]+/.exec(want)?.[0] ?? []);
    if (name !== '') depends.set(name, names);
  }
  const taken = new Set<string>();
  const take = (name: string): void => {
    const wants = depends.get(name);
    if (wants === undefined || taken.has(name) || LEFT_OUT.includes(name)) return;
    taken.add(name);
    wants.forEach(take);
  };
  WANTED.forEach(take);
  const files = execFileSync('dpkg-query', ['--listfiles', ...taken], { encoding: 'utf8' }).split('\n');
  const wanted = new Set(
    [...files.filter((path) => path.startsWith('/') && !NEEDLESS.test(path)), ...MORE].flatMap(own),
  );
  execFileSync('tar', ['-cf', tar, '-C', '/', '--no-recursion', '--null', '--files-from=-'], {
    input: [...wanted].map((path) => `.${path}\0`).join(''),
  });
  return tar;
}

/** By the path that a file really has, where it is there: packages still call `/usr/bin/bash` `/bin/bash`. */
function own(path: string): string[] {
  try {
    const real = join(realpathSync(dirname(path)), basename(path));
    lstatSync(real);
    return [real];
  } catch {
    return [];
  }
}
