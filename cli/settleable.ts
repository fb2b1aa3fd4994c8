/** A promise and how to settle it. */
export interface Settleable<Value> {
  readonly promise: Promise<Value>;
  readonly settle: (value: Value) => void;
}

/** Something to wait for that a callback decides; the first value counts. */
export function settleable<Value>(): Settleable<Value> {
  let settle: (value: Value) => void = () => {};
  const promise = new Promise<Value>((resolve) => {
    settle = resolve;
  });
  return { promise, settle };
}
