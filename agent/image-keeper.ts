import * as v from 'valibot';
import type { ContainerEngine } from '../io/containers.ts';
import type { Launcher } from '../io/launcher.ts';
import type { Log } from '../io/log.ts';
import type { Storage } from '../io/storage.ts';
import { check, decode } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { type AgentState, hasEnded } from './checkpoint/state.ts';
import { type FetchedImage, imagesToRemove } from './images/images-to-remove.ts';

const FILE = 'images.json';
/** Older ones are forgotten, and stay. */
const MOST_IMAGES = 100;
const Images = v.object({
  images: v.pipe(
    v.array(v.object({ image: v.pipe(v.string(), v.maxLength(LIMITS.imageLength)), bytes: v.number() })),
    v.maxLength(MOST_IMAGES),
  ),
});

/** What of the machine it takes. */
export interface ImageWorld {
  readonly engine: Pick<ContainerEngine, 'image' | 'removeImage'>;
  /** What fetched images may take together. */
  readonly mostBytes: number;
}

interface KeeperWorld extends ImageWorld {
  readonly launcher: Pick<Launcher, 'onPulled'>;
  readonly storage: Storage;
  readonly log: Log;
  /** Images that accepted runs name. */
  readonly needed: () => ReadonlySet<string>;
}

/** Those of runs that go on, or may be started again. */
export function imagesNeeded({ runs }: Pick<AgentState, 'runs'>): ReadonlySet<string> {
  const needed = new Set<string>();
  for (const run of runs.values()) {
    const image = run.info.container?.image;
    if (image !== undefined && !hasEnded(run)) needed.add(image);
  }
  return needed;
}

/**
 * Removes images that this agent fetched and no task needs, when a new one has taken the room (agent/images). Images that
 * were on the machine before, or came by another hand, are nobody's business here. The list is written when an image
 * came, and never otherwise.
 */
export class ImageKeeper {
  readonly #world: KeeperWorld;
  /** Least recently fetched first. */
  #images: readonly FetchedImage[] | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(world: KeeperWorld) {
    this.#world = world;
    world.launcher.onPulled?.((image) => {
      this.#turn = this.#turn
        .then(() => this.#fetched(image))
        .catch((error: unknown) => world.log.warn('images not looked after', { image, error: String(error) }));
    });
  }

  /** Resolves when it has nothing left to do. */
  idle(): Promise<void> {
    return this.#turn;
  }

  async #fetched(image: string): Promise<void> {
    const { engine, storage, log, mostBytes, needed } = this.#world;
    const bytes = (await engine.image(image))?.bytes;
    if (bytes === undefined) return;
    const before = (this.#images ?? (await this.#read())).filter((each) => each.image !== image);
    let images = [...before, { image, bytes }].slice(-MOST_IMAGES);
    const stay = new Set<string>();
    for (let gone: string | undefined; ; ) {
      // Asked each time: a run may have been accepted while another image went.
      [gone] = imagesToRemove(images, image, new Set([...stay, ...needed()]), mostBytes);
      if (gone === undefined) break;
      // False where a container of somebody else's needs it: it is asked about again after the next pull.
      if (!(await engine.removeImage(gone)) && (await engine.image(gone)) !== undefined) stay.add(gone);
      else images = images.filter((each) => each.image !== gone);
      if (!stay.has(gone)) log.info('image removed: no task needs it, and another took its room', { image: gone });
    }
    this.#images = images;
    await storage.replace(FILE, new TextEncoder().encode(`${JSON.stringify({ images })}\n`));
  }

  #read(): Promise<readonly FetchedImage[]> {
    return fetchedImages(this.#world.storage, (damage) =>
      this.#world.log.warn('the list of fetched images is damaged: they stay', { damage }),
    );
  }
}

/** Images that the agent of this folder has fetched. A damaged list is an empty one: its images stay, as those of others do. */
export async function fetchedImages(
  storage: Storage,
  onDamage: (damage: string) => void = () => undefined,
): Promise<readonly FetchedImage[]> {
  const bytes = await storage.read(FILE);
  if (bytes === undefined) return [];
  const decoded = decode(bytes);
  const images = decoded instanceof Fault ? decoded : check(Images, decoded.value);
  if (!(images instanceof Fault)) return images.images;
  onDamage(images.message);
  return [];
}
