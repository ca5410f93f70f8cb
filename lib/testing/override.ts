/**
 * Puts a method of its own on an object, in front of that of its class.
 * @returns a function that takes it away again
 */
export function override<T extends object, Key extends keyof T & string> (target: T, key: Key, value: T[Key]): () => void {
  Object.defineProperty(target, key, { value, configurable: true })
  return () => { Reflect.deleteProperty(target, key) }
}
