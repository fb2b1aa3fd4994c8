/** An image that this agent has fetched, and nobody before it. */
export interface FetchedImage {
  /** As the job wrote it. */
  readonly image: string;
  readonly bytes: number;
}

/**
 * Which images go, once `fetched` has just come from its registry: those used least recently, until what stays takes no
 * more than `mostBytes`. Only images of that same registry, for it is in reach, and what goes could be fetched again: an
 * image of another one might be gone for good. None that an accepted run names, whether it runs now or only after the next
 * restart, and never the one that came.
 *
 * @param images least recently used first, `fetched` among them
 */
export function imagesToRemove(
  images: readonly FetchedImage[],
  fetched: string,
  needed: ReadonlySet<string>,
  mostBytes: number,
): string[] {
  const names = new Set([...needed].map(fullName));
  let bytes = images.reduce((sum, each) => sum + each.bytes, 0);
  const gone: string[] = [];
  for (const each of images) {
    if (bytes <= mostBytes) break;
    const stays =
      fullName(each.image) === fullName(fetched) ||
      names.has(fullName(each.image)) ||
      registryOf(each.image) !== registryOf(fetched);
    if (stays) continue;
    gone.push(each.image);
    bytes -= each.bytes;
  }
  return gone;
}

/** One image has many names: `alpine`, `alpine:latest` and `docker.io/library/alpine` are the same. */
function fullName(image: string): string {
  const registry = registryOf(image);
  const path = image.startsWith(`${registry}/`) ? image.slice(registry.length + 1) : image;
  const official = registry === 'docker.io' && !path.includes('/') ? `library/${path}` : path;
  const isExact = official.includes('@') || /:[^/]*$/.test(official);
  return `${registry}/${official}${isExact ? '' : ':latest'}`;
}

/** The host before the first `/`, where it is one (it has a dot or a port, or is localhost); otherwise Docker's. */
export function registryOf(image: string): string {
  const [first = '', ...rest] = image.split('/');
  const isHost = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  return isHost ? first : 'docker.io';
}
