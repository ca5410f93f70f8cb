import { DatabaseDriver } from '@mikro-orm/core'

/** Why a MikroORM, or options for one, cannot be worked with although it looks like one, if so. Takes anything. */
export function foreignness (given: object): string | undefined {
  try {
    return ask(given)
  } catch {
    // A proxy can throw at every question.
    return undefined
  }
}

function ask (given: object): string | undefined {
  if ('getSchemaGenerator' in given && 'em' in given) return 'one of MikroORM 6 or older: this package works with MikroORM 7'
  if (looksLikeOrm(given)) return `a MikroORM of another copy of @mikro-orm/core. ${TWO_COPIES}`
  const { driver } = given as { driver?: unknown }
  if (typeof driver === 'function' && !(driver.prototype instanceof DatabaseDriver)) return `options with a driver that is of another copy of @mikro-orm/core, or of another version. ${TWO_COPIES}`
  return undefined
}

const TWO_COPIES = 'npm ls @mikro-orm/core shows them; a bundler or vitest that inlines one of them needs fastify-scoped-db inlined, too'

function looksLikeOrm (given: object): boolean {
  return ['em', 'config', 'driver'].every(key => typeof (given as Record<string, unknown>)[key] === 'object')
}
