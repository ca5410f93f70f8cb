import type { EventSubscriber } from '@mikro-orm/core'
import { lateChanges } from './flush.ts'
import { keysKnown } from './inserted-entities.ts'
import { BINDING, waitingFor, type BoundEntityManager } from './nesting.ts'
import { afterFlush, onFlush } from './open-nestings.ts'

/** Hears of the flushes of sessions: what they write, and so what comes too late for them. */
export const flushListener: EventSubscriber = {
  onFlush ({ em, uow }) {
    const changeSets = uow.getChangeSets()
    if (changeSets.length + uow.getCollectionUpdates().length > 0) onFlush(em, changeSets)
    return changeSets.some(({ type }) => type === 'create') ? keysKnown(em) as Promise<void> | undefined : undefined
  },

  afterFlush ({ em, uow }) {
    lateChanges(em)?.written()
    const changeSets = uow.getChangeSets()
    afterFlush(em, changeSets)
    const binding = (em as BoundEntityManager)[BINDING]
    if (binding?.database.listeners.wantsChanges !== true) return
    if (changeSets.length > 0) waitingFor(binding).changesOf(binding.database).record(changeSets)
  }
}
