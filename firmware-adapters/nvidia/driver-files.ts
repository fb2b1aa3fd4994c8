import { fieldOf, type TextFiles } from '../text-files.ts';

/** A card as the driver's own files say it. */
export interface Card {
  /** `0000:01:00.0` */
  readonly bus: string;
  readonly model: string | undefined;
  readonly uuid: string | undefined;
  /** Of `/dev/nvidia0`. */
  readonly minor: number | undefined;
}

const FOLDER = '/proc/driver/nvidia/gpus';

/** Needs no program: `information` of each card has `Model`, `GPU UUID` and `Device Minor`. In the order of the bus. */
export async function cardsOf(texts: TextFiles): Promise<readonly Card[]> {
  const folders = await texts.names(FOLDER);
  return await Promise.all(
    folders.map(async (bus) => {
      const information = (await texts.text(`${FOLDER}/${bus}/information`)) ?? '';
      const uuid = fieldOf(information, 'GPU UUID');
      const minor = fieldOf(information, 'Device Minor');
      return {
        bus,
        model: fieldOf(information, 'Model'),
        uuid: uuid !== undefined && /^GPU-[0-9a-f-]{36}$/i.test(uuid) ? uuid : undefined,
        minor: minor !== undefined && /^\d{1,3}$/.test(minor) ? Number(minor) : undefined,
      };
    }),
  );
}

/** `00000000:01:00.0` and `0000:01:00.0` are one place. */
export function sameBus(one: string, other: string): boolean {
  const short = (bus: string): string => bus.toLowerCase().replace(/^0*(?=[0-9a-f]{4}:)/, '');
  return short(one) === short(other);
}
