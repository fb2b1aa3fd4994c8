/** What of a machine's state is judged: shares from 0 to 1, degrees Celsius, MB of 2^20 bytes. What it does not say is absent. */
export interface Reading {
  readonly temperatureC?: number;
  readonly acceleratorC?: number;
  readonly throttled?: boolean;
  readonly throttledSinceBoot?: boolean;
  readonly underVoltage?: boolean;
  readonly underVoltageSinceBoot?: boolean;
  readonly diskUsed?: number;
  readonly diskFreeMb?: number;
  readonly wear?: number;
  readonly battery?: number;
  readonly onBattery?: boolean;
  readonly metered?: boolean;
}

/** From where a condition holds, and from where it holds no more: between the two it stays what it was. */
export interface Threshold {
  readonly on: number;
  readonly off: number;
  /** In so many readings in a row, before it holds and before it holds no more: each change costs a message and an entry in the log. */
  readonly onAfter: number;
  readonly offAfter: number;
}

/** In the order in which they are told. */
export const CONDITIONS = [
  'hot',
  'overheated',
  'throttled',
  'under-voltage',
  'disk-nearly-full',
  'disk-full',
  'battery-low',
  'battery-empty',
  'metered',
  'flash-worn',
] as const;
export type Condition = (typeof CONDITIONS)[number];
export type Thresholds = Readonly<Record<Condition, Threshold>>;

const YES: Threshold = { on: 1, off: 0, onAfter: 1, offAfter: 4 };

/** Where nobody says otherwise. Below half a GB no task's output is safe; a card of two TB that is 95 % full is not nearly full. */
export const THRESHOLDS: Thresholds = {
  hot: { on: 80, off: 72, onAfter: 2, offAfter: 4 },
  overheated: { on: 95, off: 85, onAfter: 2, offAfter: 4 },
  throttled: { ...YES, onAfter: 2 },
  'under-voltage': YES,
  'disk-nearly-full': { on: 0.9, off: 0.85, onAfter: 1, offAfter: 2 },
  'disk-full': { on: 0.98, off: 0.95, onAfter: 1, offAfter: 2 },
  'battery-low': { on: 0.8, off: 0.7, onAfter: 1, offAfter: 4 },
  'battery-empty': { on: 0.9, off: 0.85, onAfter: 1, offAfter: 4 },
  metered: { ...YES, onAfter: 2, offAfter: 2 },
  'flash-worn': { on: 0.9, off: 0.8, onAfter: 1, offAfter: 1 },
};

/** Cards are made for so much more than boards. */
const CARD_MARGIN_C = 10;
/** With that much room no disk counts as nearly full, however large it is. */
const ROOMY_MB = 5_120;

/** Each condition as a number that grows with the trouble; undefined where the machine does not say. */
const MEASURES: Readonly<Record<Condition, (reading: Reading) => number | undefined>> = {
  hot: degrees,
  overheated: degrees,
  throttled: ({ throttled }) => asNumber(throttled),
  'under-voltage': ({ underVoltage }) => asNumber(underVoltage),
  'disk-nearly-full': fullness,
  'disk-full': fullness,
  'battery-low': emptiness,
  'battery-empty': emptiness,
  metered: ({ metered }) => asNumber(metered),
  'flash-worn': ({ wear }) => wear,
};

function degrees({ temperatureC, acceleratorC }: Reading): number | undefined {
  const card = acceleratorC === undefined ? undefined : acceleratorC - CARD_MARGIN_C;
  return temperatureC === undefined ? card : Math.max(temperatureC, card ?? temperatureC);
}

function fullness({ diskUsed, diskFreeMb = 0 }: Reading): number | undefined {
  return diskUsed !== undefined && diskFreeMb >= ROOMY_MB ? 0 : diskUsed;
}

/** On the mains no battery is low. */
function emptiness({ battery, onBattery = false }: Reading): number | undefined {
  if (battery === undefined) return undefined;
  return onBattery ? 1 - battery : 0;
}

function asNumber(yes: boolean | undefined): number | undefined {
  return yes === undefined ? undefined : Number(yes);
}

/** What is remembered of a condition: whether it holds, and how many readings in a row spoke against that. */
interface Judged {
  readonly holds: boolean;
  readonly against: number;
}
export type Judgement = ReadonlyMap<Condition, Judged>;

/** Nothing was read yet: the first reading decides at once. */
export const NOT_JUDGED: Judgement = new Map();

/** What holds after one more reading. What the machine stops saying stays as it was. */
export function judge(before: Judgement, reading: Reading, thresholds: Thresholds = THRESHOLDS): Judgement {
  const after = new Map<Condition, Judged>();
  for (const condition of CONDITIONS) {
    const known = before.get(condition);
    const value = MEASURES[condition](reading);
    const judged = value === undefined ? known : next(known, value, thresholds[condition]);
    if (judged !== undefined) after.set(condition, judged);
  }
  return after;
}

function next(known: Judged | undefined, value: number, { on, off, onAfter, offAfter }: Threshold): Judged {
  if (known === undefined) return { holds: value >= on, against: 0 };
  const speaksAgainst = known.holds ? value <= off : value >= on;
  if (!speaksAgainst) return known.against === 0 ? known : { ...known, against: 0 };
  const against = known.against + 1;
  return against >= (known.holds ? offAfter : onAfter) ? { holds: !known.holds, against: 0 } : { ...known, against };
}

export function holding(judgement: Judgement): ReadonlySet<Condition> {
  return new Set(CONDITIONS.filter((condition) => judgement.get(condition)?.holds === true));
}
