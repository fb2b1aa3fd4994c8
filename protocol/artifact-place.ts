import type { Artifact } from './artifact.ts';

/**
 * Where an artifact is in its sandbox: a path with `/` and no empty, `.` or `..` part. Of an archive the folder it is
 * unpacked in, '' for the sandbox itself. Undefined where neither its path nor its URI names a file.
 */
export function artifactPlace({ uri, path, extract }: Pick<Artifact, 'uri' | 'path' | 'extract'>): string | undefined {
  const written = path === undefined ? undefined : tidy(path);
  if (extract === true) return written ?? '';
  const place = written ?? nameIn(uri);
  return place === '' ? undefined : place;
}

/** What is wrong with a task's artifacts together, in words; undefined where all is well. */
export function artifactContradiction(artifacts: readonly Artifact[]): string | undefined {
  const files = new Set<string>();
  for (const [index, artifact] of artifacts.entries()) {
    const place = artifactPlace(artifact);
    if (place === undefined) return `artifacts.${index}: its URI ends in no file's name; give it a path`;
    if (artifact.extract) {
      if (artifact.executable)
        return `artifacts.${index}: what is unpacked has its modes from the archive; executable is for a file`;
      continue;
    }
    if (files.has(place)) return `artifacts.${index}: there is another at ${place} already; give it a path of its own`;
    files.add(place);
  }
  const below = [...files].find((place) => {
    const parts = place.split('/');
    return parts.some((_, depth) => depth > 0 && files.has(parts.slice(0, depth).join('/')));
  });
  return below === undefined ? undefined : `artifacts: ${below} is below another artifact, which is a file`;
}

function tidy(path: string): string {
  return path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

/** The last part of its path, decoded; '' where there is none that can be a file's name. */
function nameIn(uri: string): string {
  const [, path = ''] = /^https?:\/\/[^/?#]+([^?#]*)/.exec(uri) ?? [];
  const last = path.slice(path.lastIndexOf('/') + 1);
  const name = decoded(last);
  return name === '.' || name === '..' || name.includes('/') || name.includes('\0') || name.length > 255 ? '' : name;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
