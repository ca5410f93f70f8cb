/** What a database is: what can be expected of it. */
export type Kind = 'mysql' | 'postgresql' | 'sqlite'

/** MikroORM's drivers beside those that all tests run with, and what each of them leads to. TEST_DATABASE has the tests run with one of them. */
export const OTHER_DRIVERS = { mariadb: 'mysql', libsql: 'sqlite', pglite: 'postgresql' } as const satisfies Record<string, Kind>

export type OtherDriver = keyof typeof OTHER_DRIVERS

/** Those that have one connection: no other can look beside a transaction, or wait for it. */
const WITH_ONE_CONNECTION = new Set<OtherDriver | undefined>(['pglite'])

/** Whether this run has a test that is for these databases: what is for servers alone needs several connections. */
export function isMeant (kind: Kind, kinds: readonly Kind[] | undefined): boolean {
  return kinds === undefined || (kinds.includes(kind) && (!WITH_ONE_CONNECTION.has(otherDriver()) || kinds.includes('sqlite')))
}

/** The one that this run is for. */
export function otherDriver (): OtherDriver | undefined {
  const name = process.env['TEST_DATABASE']
  return name !== undefined && Object.hasOwn(OTHER_DRIVERS, name) ? name as OtherDriver : undefined
}
