import type { RequestFault } from './fault.ts'

/** A value that cannot be converted for the database, or one that comes from there. */
export const unconvertible: RequestFault = { name: 'unconvertible', routes: ['convert'], order: random => ({ unconvertible: random.pick(['in', 'out']) }) }
