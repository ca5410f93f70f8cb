import { Collection } from '@mikro-orm/core'

/** What a collection holds, and what it takes the database to have. */
export interface CollectionState {
  readonly collection: Collection<object>
  readonly items: readonly object[]
  /** None where the database is to lose all that it has, unseen. */
  readonly snapshot: readonly object[] | undefined
  readonly isDirty: boolean
  readonly isInitialized: boolean
}

export function stateOf (collection: Collection<object>): CollectionState {
  return {
    collection,
    items: collection.getItems(false),
    snapshot: collection.getSnapshot(),
    isDirty: collection.isDirty(),
    isInitialized: collection.isInitialized()
  }
}

/** Brings collections back to what they were. What has an inverse side is told of nothing, so that side is to be among them. */
export function restoreCollections (states: Iterable<CollectionState>): void {
  const changed = [...states].filter(hasChanged)
  const kept = changed.filter(({ collection, snapshot, isInitialized }) => snapshot !== undefined && isInitialized === collection.isInitialized())
  for (const { collection, snapshot = [] } of kept) setItems(collection, snapshot)
  for (const { collection } of kept) collection.takeSnapshot()
  for (const { collection, items, isDirty } of kept) {
    setItems(collection, items)
    collection.setDirty(isDirty)
  }
  for (const state of changed) if (!kept.includes(state)) replace(state)
}

/** Whether two lists do not hold the same in the same order. */
export function differs (some: readonly object[] | undefined, others: readonly object[] | undefined): boolean {
  if (some === undefined || others === undefined) return some !== others
  return some.length !== others.length || some.some((item, n) => item !== others[n])
}

function hasChanged ({ collection, items, snapshot, isDirty, isInitialized }: CollectionState): boolean {
  return isDirty !== collection.isDirty() || isInitialized !== collection.isInitialized() ||
    differs(snapshot, collection.getSnapshot()) || differs(items, collection.getItems(false))
}

function setItems (collection: Collection<object>, items: readonly object[]): void {
  const current = collection.getItems(false)
  if (!differs(items, current)) return
  for (const item of current) collection.removeWithoutPropagation(item)
  for (const item of items) collection.addWithoutPropagation(item)
}

/** There is no way back for one that was loaded meanwhile, or that has forgotten to forget what the database has. */
function replace ({ collection: { owner, property }, items, isDirty, isInitialized }: CollectionState): void {
  const fresh = new Collection(owner, undefined, false)
  fresh.property = property
  Object.assign(owner, { [property.name]: fresh })
  if (isInitialized) fresh.set([])
  setItems(fresh, items)
  fresh.setDirty(isDirty)
}
