/**
 * Makes an object that stands for another one, which `resolve` finds anew on every use. It can be kept for ever, at
 * module level for one. Methods run on the object itself, since MikroORM's classes have private fields.
 *
 * The idea is Werkzeug's `LocalProxy`, which Flask-SQLAlchemy's `db.session` grew up with.
 *
 * @param prototype what `instanceof` sees while `resolve` throws
 * @param resolve finds the object, or throws why there is none
 * @param fixed members that need no object
 */
export function localProxy<T extends object> (prototype: object, resolve: () => T, fixed: Partial<T> = {}): T {
  // The target gives only its shape: what is not on the real object must not be reported as its own.
  return new Proxy(Object.create(prototype) as T, {
    get (_, key) {
      if (Object.hasOwn(fixed, key)) return Reflect.get(fixed, key) as unknown
      const object = resolve()
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
