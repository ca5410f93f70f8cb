import type { RequestFault } from './fault.ts'

/** Clients that go away, in each part of a request's life. */
export const clientFaults: RequestFault[] = [
  { name: 'client-upload', leaves: 'upload', order: random => ({ filler: 'x'.repeat(random.between(20_000, 200_000)) }) },
  { name: 'client-hook', leaves: 'hook', routes: ['login'] },
  { name: 'client-handler', leaves: 'handler', order: random => ({ pause: random.between(0, 30) }) },
  { name: 'client-commit', leaves: 'commit' },
  { name: 'client-reply', leaves: 'reply', routes: ['stream', 'download'], order: random => ({ pause: random.between(2, 20), bytes: random.between(1_000, 4_000_000) }) }
]
