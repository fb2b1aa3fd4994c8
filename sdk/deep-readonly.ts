/** The same shape, read-only all the way down: what a function that only reads should take. */
export type DeepReadonly<Shape> = Shape extends object
  ? { readonly [Key in keyof Shape]: DeepReadonly<Shape[Key]> }
  : Shape;
