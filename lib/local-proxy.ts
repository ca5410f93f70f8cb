import { inspect } from 'node:util'

/**
 * Makes an object that stands for another one, which `resolve` finds anew on every use. It can be kept for ever, at
 * module level for one. Methods run on the object itself, since MikroORM's classes have private fields.
 *
 * Where there is none, methods that give promises give one that rejects: they are called from timers, too, where nobody would catch what they
 * throw. To look at it (`util.inspect`, `String`, `JSON.stringify`) never throws.
 *
 * The idea is Werkzeug's `LocalProxy`, which Flask-SQLAlchemy's `db.session` grew up with.
 *
 * @param prototype what `instanceof` sees, and what has the methods, while `resolve` throws
 * @param resolve finds the object, or throws why there is none
 * @param fixed members that need no object
 */
export function localProxy<T extends object> (prototype: object, resolve: () => T, fixed: Partial<T> = {}): T {
  // The target gives only its shape: what is not on the real object must not be reported as its own.
  return new Proxy(Object.create(inspectable(prototype, resolve)) as T, {
    get (_, key) {
      if (Object.hasOwn(fixed, key)) return Reflect.get(fixed, key) as unknown
      let object: T
      try {
        object = resolve()
      } catch (error) {
        return unresolved(prototype, key, error)
      }
      const value: unknown = Reflect.get(object, key, object)
      return typeof value === 'function' && key !== 'constructor' ? value.bind(object) as unknown : value
    },
    set (_, key, value) {
      return Reflect.set(resolve(), key, value)
    },
    has (_, key) {
      return Reflect.has(resolve(), key)
    },
    getPrototypeOf () {
      try {
        return Reflect.getPrototypeOf(resolve())
      } catch {
        return prototype
      }
    }
  })
}

/** What a member is while there is no object, because of `error`. */
function unresolved (prototype: object, key: string | symbol, error: unknown): unknown {
  // Promises, String() and JSON.stringify() ask everything for some members.
  if (key === 'constructor') return prototype.constructor
  if (typeof key === 'symbol' || ASKED_FOR.has(key)) return Reflect.get(Object.prototype, key)
  switch (Object.prototype.toString.call(methodOf(prototype, key))) {
    case '[object AsyncFunction]': return async () => { throw error }
    case '[object AsyncGeneratorFunction]': return async function * () { throw error }
    default: throw error
  }
}

const ASKED_FOR: ReadonlySet<string> = new Set(['then', 'toJSON', ...Object.getOwnPropertyNames(Object.prototype)])

/** A getter is not called: it would want an object. */
function methodOf (prototype: object | null, key: string): unknown {
  if (prototype === null) return undefined
  return Object.hasOwn(prototype, key) ? Object.getOwnPropertyDescriptor(prototype, key)?.value : methodOf(Object.getPrototypeOf(prototype) as object | null, key)
}

/** Node looks for this on the target. */
function inspectable (prototype: object, resolve: () => object): object {
  return Object.create(prototype, {
    [inspect.custom]: {
      value (_depth: number, options: object) {
        try {
          return inspect(resolve(), options)
        } catch (error) {
          return `[${prototype.constructor.name}: ${String(error)}]`
        }
      }
    }
  }) as object
}
