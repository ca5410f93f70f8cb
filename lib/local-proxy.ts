import { inspect } from 'node:util'

/**
 * Makes an object that stands for another one, which `resolve` finds anew on every use. It can be kept for ever, at
 * module level for one. Methods run on the object itself, since MikroORM's classes have private fields.
 *
 * While `resolve` throws, a method that would give a promise gives one that rejects, so that nothing is thrown where nobody expects it; what is asked
 * for in order to print the object is that of any object; all else throws.
 *
 * The idea is Werkzeug's `LocalProxy`, which Flask-SQLAlchemy's `db.session` grew up with.
 *
 * @param prototype what `instanceof` sees while `resolve` throws, and where the methods are
 * @param resolve finds the object, or throws why there is none
 * @param fixed members that need no object
 */
export function localProxy<T extends object> (prototype: () => object, resolve: () => T, fixed: Partial<T> = {}): T {
  // The target gives only its shape: what is not on the real object must not be reported as its own. Node prints it in the place of the proxy.
  const shape = Object.create(prototype(), { [inspect.custom]: { value: () => shown(prototype(), resolve) } }) as object
  return new Proxy(Object.create(shape) as T, {
    get (_, key) {
      if (Object.hasOwn(fixed, key)) return Reflect.get(fixed, key) as unknown
      let object: T
      try {
        object = resolve()
      } catch (error) {
        return withoutObject(prototype(), key, error)
      }
      const value: unknown = Reflect.get(object, key, object)
      return typeof value === 'function' && key !== 'constructor' ? value.bind(object) as unknown : value
    },
    set (_, key, value) {
      return Reflect.set(resolve(), key, value)
    },
    has (_, key) {
      return Reflect.has(found(resolve) ?? prototype(), key)
    },
    getPrototypeOf () {
      const object = found(resolve)
      return object === undefined ? prototype() : Reflect.getPrototypeOf(object)
    }
  })
}

/** What is printed in its place. */
function shown (prototype: object, resolve: () => object): unknown {
  try {
    return resolve()
  } catch (error) {
    return `[${prototype.constructor.name}: ${String(error)}]`
  }
}

/** What `resolve` finds, if it does. */
export function found<T> (resolve: () => T): T | undefined {
  try {
    return resolve()
  } catch {
    return undefined
  }
}

/** What printing and waiting ask of any object. */
const ASKED_OF_ALL = new Set<PropertyKey>(['toJSON', 'then', ...Reflect.ownKeys(Object.prototype)])

/** @throws `error`, where it cannot be rejected with */
function withoutObject (prototype: object, key: PropertyKey, error: unknown): unknown {
  if (typeof key === 'symbol' || ASKED_OF_ALL.has(key)) return Reflect.get(Object.prototype, key)
  switch (Object.prototype.toString.call(methodOf(prototype, key))) {
    case '[object AsyncFunction]': return async () => { throw error }
    case '[object AsyncGeneratorFunction]': return async function * () { throw error }
    default: throw error
  }
}

/** Without calling a getter, which would look for the object. */
function methodOf (prototype: object | null, key: PropertyKey): unknown {
  if (prototype === null) return undefined
  const property = Reflect.getOwnPropertyDescriptor(prototype, key)
  return property === undefined ? methodOf(Reflect.getPrototypeOf(prototype), key) : property.value
}
