// Installs what is missing, so that every script runs from a bare clone with Node and npm alone.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`Mesquite needs Node 20.19 or newer; this is ${process.version}.`);
  process.exit(1);
}

/** npm writes what it installed into a hidden lockfile: compare that with what is asked for. */
function installed() {
  try {
    const asked = JSON.parse(readFileSync('package-lock.json', 'utf8')).packages;
    const found = JSON.parse(readFileSync('node_modules/.package-lock.json', 'utf8')).packages;
    return Object.entries(asked).every(
      ([path, entry]) => path === '' || entry.optional || found[path]?.version === entry.version,
    );
  } catch {
    return false;
  }
}

if (!installed()) {
  console.error('Installing dependencies …');
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    stdio: ['ignore', 2, 2],
  });
  process.exit(status ?? 1);
}
