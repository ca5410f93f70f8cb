import { setTimeout as sleep } from 'node:timers/promises'
import type { Field, RequestFault, Stall, StrikingFault } from './fault.ts'
import { expectSomeThrough } from './field.ts'

/** More than sockets take by themselves, in bytes. */
const LONG_REPLY = 8_000_000

/** A client that takes its time to upload. */
export const slowUpload: RequestFault = {
  name: 'slow-upload',
  routes: ['upload', 'hooks', 'insert'],
  order: random => ({ filler: 'x'.repeat(random.between(1_000, 100_000)) }),
  stall: random => stallFor('upload', random.between(20, 300))
}

/** A client that takes its time to read. */
export const slowReader: RequestFault = {
  name: 'slow-reader',
  routes: ['stream', 'download'],
  order: () => ({ bytes: LONG_REPLY }),
  stall: random => stallFor('reply', random.between(20, 300))
}

/** More clients than there are connections stall in their uploads, when a hook has read. None of them may hold a connection. */
export const stalledUploads: StrikingFault = {
  name: 'stalled-uploads',
  needsServer: false,
  strike: async field => await stallMany(field, 'upload', 'upload', 'clients stall in their uploads')
}

/** More clients than there are connections read nothing of their replies. None of them may hold a connection. */
export const stalledReaders: StrikingFault = {
  name: 'stalled-readers',
  needsServer: false,
  strike: async field => await stallMany(field, 'reply', 'download', 'clients stall in their replies')
}

async function stallMany (field: Field, at: Stall['at'], route: string, what: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const stall = { at, until: () => promise }
  const stalled = Array.from({ length: field.connections * 2 }, () => field.send(route, { filler: 'x'.repeat(1_000), bytes: LONG_REPLY }, stall))
  await Promise.all(stalled.map(({ arrived, answered }) => Promise.race([arrived, answered])))
  await expectSomeThrough(field, what)
  resolve()
  await Promise.all(stalled.map(({ answered }) => answered))
}

function stallFor (at: Stall['at'], milliseconds: number): Stall {
  return { at, until: () => sleep(milliseconds) }
}
