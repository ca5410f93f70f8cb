import type { StartContender } from './contender.ts'

/** How a contender is called in tables. */
export const TITLES = {
  bare: 'bare Fastify',
  'hand-written': 'hand-written fork, `em.transactional()`',
  'request-context': 'documented hook, `RequestContext`',
  'eager-fork': 'eager fork per request',
  nest: 'NestJS, `@mikro-orm/nestjs`',
  'scoped-db off': 'this plugin',
  'scoped-db on': 'this plugin, `commitOnTeardown`'
} as const

export type ContenderName = keyof typeof TITLES

export const contenderNames = Object.keys(TITLES) as ContenderName[]

/** What is measured beside the contenders, to know what they could reach. */
export const FLOOR = 'idle-hooks' as const

export type SubjectName = ContenderName | typeof FLOOR

/** Loads only what the contender needs: each has a process for itself. */
export async function load (name: SubjectName): Promise<StartContender> {
  switch (name) {
    case 'bare': return (await import('./bare.ts')).bare
    case 'hand-written': return (await import('./hand-written.ts')).handWritten
    case 'request-context': return (await import('./request-context.ts')).requestContext
    case 'eager-fork': return (await import('./eager-fork.ts')).eagerFork
    case 'nest': return (await import('./nest.ts')).nest
    case 'scoped-db off': return (await import('./scoped-db.ts')).scopedDbOff
    case 'scoped-db on': return (await import('./scoped-db.ts')).scopedDbOn
    case FLOOR: return (await import('./idle-hooks.ts')).idleHooks
  }
}
