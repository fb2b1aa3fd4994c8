import { type Attributes, attributeText } from '../../protocol/attributes.ts';
import { Fault } from '../../protocol/faults.ts';
import { CONDITIONS, type Condition, THRESHOLDS, type Threshold, type Thresholds } from './conditions.ts';

/** Conditions that people count downwards: a battery is low at 0.2 of it, not at 0.8 of its emptiness. */
const DOWNWARDS: ReadonlySet<Condition> = new Set(['battery-low', 'battery-empty']);
/** Nothing reaches it. */
const NEVER: Threshold = { on: Number.POSITIVE_INFINITY, off: Number.POSITIVE_INFINITY, onAfter: 1, offAfter: 1 };

/**
 * `hot:85;disk-full:0.99;battery-low:0.3;throttled:never`: from where each holds. It ends as far below that as it does by
 * default. Faults: BAD_ATTRIBUTES.
 */
export function writtenThresholds(written: Attributes): Thresholds | Fault {
  let thresholds = THRESHOLDS;
  for (const attribute of written) {
    const condition = CONDITIONS.find((one) => one === attribute.name);
    if (condition === undefined)
      return new Fault(
        'BAD_ATTRIBUTES',
        `--health: there is no ${attribute.name}`,
        `There are ${CONDITIONS.join(', ')}.`,
      );
    const threshold = thresholdOf(condition, attributeText(attribute), attribute.scalar);
    if (threshold === undefined) return new Fault('BAD_ATTRIBUTES', `--health: ${condition} needs a number, or never`);
    thresholds = { ...thresholds, [condition]: threshold };
  }
  return thresholds;
}

function thresholdOf(condition: Condition, text: string, thousandths: number | undefined): Threshold | undefined {
  if (text === 'never') return NEVER;
  if (thousandths === undefined) return undefined;
  const usual = THRESHOLDS[condition];
  const on = DOWNWARDS.has(condition) ? 1 - thousandths / 1000 : thousandths / 1000;
  return { ...usual, on, off: on - (usual.on - usual.off) };
}
