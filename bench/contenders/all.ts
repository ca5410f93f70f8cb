import type { StartContender } from './contender.ts'

/** How a contender is called in tables. */
export const TITLES = {
  bare: 'bare Fastify',
  'hand-written': 'hand-written fork, `em.transactional()`',
  'request-context': 'documented hook, `RequestContext`',
  'eager-fork': 'eager fork per request',
  nest: 'NestJS, `@mikro-orm/nestjs`',
  'scoped-db off': 'this plugin',
  'scoped-db on': 'this plugin, `commitOnTeardown`',
  'scoped-db begin apart': 'this plugin, `beginWithFirst: false`'
} as const

export type ContenderName = keyof typeof TITLES

export const contenderNames = Object.keys(TITLES) as ContenderName[]

/** Those that are always measured: the plugin, and what it is compared with. */
export const MAIN_CONTENDERS = ['bare', 'request-context', 'scoped-db off', 'scoped-db on'] as const satisfies ContenderName[]

/** Loads only what the contender needs: each has a process for itself. */
export async function load (name: ContenderName): Promise<StartContender> {
  switch (name) {
    case 'bare': return (await import('./bare.ts')).bare
    case 'hand-written': return (await import('./hand-written.ts')).handWritten
    case 'request-context': return (await import('./request-context.ts')).requestContext
    case 'eager-fork': return (await import('./eager-fork.ts')).eagerFork
    case 'nest': return (await import('./nest.ts')).nest
    case 'scoped-db off': return (await import('./scoped-db.ts')).scopedDbOff
    case 'scoped-db on': return (await import('./scoped-db.ts')).scopedDbOn
    case 'scoped-db begin apart': return (await import('./scoped-db.ts')).scopedDbBeginApart
  }
}
