import type { EntityManager, FlushMode } from '@mikro-orm/core'
import { TransactionPropagation, wrap } from '@mikro-orm/core'
import { setImmediate as turn } from 'node:timers/promises'
import type { Database } from '../plugin.ts'
import { Barrier } from './barrier.ts'
import { CLASSES, type Entity, type Item, type Label, type Part } from './entities.ts'
import type { ErrorKind, Observation } from './observation.ts'
import { kindOf, type Block, type Change, type Name, type Program, type Statement } from './program.ts'
import { isItem, isPart, shownByName } from './shown.ts'
import { Transaction, UnitOfWork } from './unit-of-work.ts'

/** What a program throws by itself. */
class ProgramError extends Error {
  override readonly name = 'ProgramError'
}

/** What flushes, and leaves nothing but a rollback where that fails. */
const FLUSHING = new Set<Statement['do']>(['collect', 'find', 'flush', 'remove'])

/** What is not skipped then: of the rest MikroORM lets some pass, SQLAlchemy others, and all of it is lost. */
const GO_ON = new Set<Statement['do']>(['throw', 'catch', 'commit', 'rollback', 'doom'])

/** What one attempt of a program has to do with. */
export interface Surroundings {
  readonly db: Database
  readonly request: { readonly db: EntityManager }
  readonly attempt: number
  /** A commit has just come back. `least` is what was in the session before, where others may have been at work since. */
  readonly committed: (unit: UnitOfWork, least: readonly Name[] | undefined) => Promise<void>
}

/** Where a statement stands. */
interface Place {
  readonly em: EntityManager
  readonly transaction: Transaction
  readonly barrier: Barrier | undefined
}

/** Runs one attempt of a program with MikroORM and the plugin under test. */
export class Interpreter {
  /** The request's unit of work. */
  readonly unit = new UnitOfWork()
  /** What it has seen on its way, for SQLAlchemy to see as well. */
  readonly observed: Observation[] = []
  isDoomed = false
  /** What has ended it, unless it came to its end. */
  error: ErrorKind | undefined
  readonly #program: Program
  readonly #around: Surroundings
  readonly #branches: Promise<void>[] = []
  /** What transactions of their own have made: others of the same program cannot know. */
  readonly #madeAlone = new Set<Name>()
  #running = 0
  #isOver = false

  constructor (program: Program, around: Surroundings) {
    this.#program = program
    this.#around = around
  }

  async run (): Promise<void> {
    const { db: em } = this.#around.request
    try {
      await this.#block(this.#program.body, { em, transaction: new Transaction(this.unit), barrier: undefined })
      const { how, status } = this.#program.answer
      if (how === 'throw') throw Object.assign(new ProgramError('answered'), { statusCode: status })
    } catch (error) {
      this.error = kindOfError(error)
      throw error
    } finally {
      this.#isOver = true
    }
  }

  /** Whether no branch runs that nobody waits for any more. */
  get isAlone (): boolean {
    return this.#running === 0
  }

  async settled (): Promise<void> {
    await Promise.allSettled(this.#branches)
  }

  async #block (block: Block, place: Place): Promise<void> {
    const { transaction } = place
    for (const statement of block) {
      if (transaction.isBroken && !GO_ON.has(statement.do)) continue
      try {
        await this.#statement(statement, place)
      } catch (error) {
        if (this.#canBreak(statement) && kindOfError(error) === 'refused') transaction.isBroken = true
        throw error
      }
    }
  }

  /** Whether its failure leaves nothing but a rollback. Of em.transactional() only its beginning can: see #transaction. */
  #canBreak ({ do: what }: Statement): boolean {
    return FLUSHING.has(what) || (what === 'commit' && !this.isDoomed)
  }

  async #statement (statement: Statement, place: Place): Promise<void> {
    const { transaction } = place
    const em = this.#em(place)
    switch (statement.do) {
      case 'create': return this.#create(statement, em, transaction)
      case 'change': return this.#change(statement.name, statement.change, transaction)
      case 'remove': return await this.#remove(statement.name, em, transaction)
      case 'persist': return this.#persist(statement.name, em, transaction)
      case 'collect': return await this.#collect(statement, em, transaction)
      case 'find': return await this.#find(statement, em, transaction)
      case 'flush': return await em.flush()
      case 'throw': throw new ProgramError('thrown')
      case 'transaction': return await this.#transaction(statement, em, place)
      case 'catch': return await this.#catch(statement.body, place)
      case 'commit': return await this.#commit(transaction.unit)
      case 'rollback': return await this.#rollback(transaction)
      case 'doom':
        this.isDoomed = true
        return this.#around.db.setRollbackOnly()
      case 'parallel': return await this.#parallel(statement, place)
      case 'tick':
        for (let n = 0; n < statement.turns; n++) await turn()
        return
      case 'meet': return await place.barrier?.arrive()
      case 'stumble':
        if (this.#around.attempt <= statement.attempts) throw Object.assign(new ProgramError('deadlock'), { errno: 1213, code: 'ER_LOCK_DEADLOCK', sqlState: '40001' })
    }
  }

  #em ({ em }: Place): EntityManager {
    switch (this.#program.via) {
      case 'request.db': return this.#around.request.db
      case 'db.session': return this.#around.db.session
      case 'orm.em': return this.#around.db.orm.em
      case 'em': return em
    }
  }

  /** What a branch does after the handler may come too late, or not. */
  #set (transaction: Transaction, name: Name, status: 'live' | 'removed'): void {
    transaction.set(name, this.#isOver ? 'unknown' : status)
  }

  /** What is about to change, with what it changes on the other side of its relations. */
  #touch (transaction: Transaction, ...entities: (Entity | null | undefined)[]): void {
    for (const entity of entities) {
      if (entity != null && transaction.unit.find(entity.name as Name) === entity) this.#set(transaction, entity.name as Name, 'live')
    }
  }

  #adopt (entity: Entity, transaction: Transaction): void {
    const name = entity.name as Name
    const { unit } = transaction
    // A query that was under way may still find what is removed meanwhile.
    if (unit.entities.get(name) === entity && (unit.status(name) === 'live' || unit.status(name) === 'removed')) return
    unit.entities.set(name, entity)
    this.#set(transaction, name, 'live')
  }

  #adoptMembers (item: Item, transaction: Transaction): void {
    const name = item.name as Name
    if (transaction.unit.loaded.has(name)) return
    transaction.load(name)
    for (const member of [...item.parts, ...item.labels]) this.#adopt(member, transaction)
  }

  #create ({ name, title, code }: Statement & { do: 'create' }, em: EntityManager, transaction: Transaction): void {
    const { unit } = transaction
    if (unit.entities.has(name) || unit.created.has(name) || this.#madeAlone.has(name)) return
    if (unit !== this.unit) this.#madeAlone.add(name)
    const entity = create(em, name, title, code)
    unit.created.set(name, entity)
    this.#adopt(entity, transaction)
    if (kindOf(name) === 'item') transaction.load(name)
  }

  #change (name: Name, change: Change, transaction: Transaction): void {
    const { unit } = transaction
    const entity = unit.find(name)
    if (entity === undefined) return
    if (change.property === 'item') {
      const part = entity as Part
      const item = change.value === null ? null : unit.find(change.value) as Item | undefined
      this.#touch(transaction, part, part.item, item)
      if (item === undefined) return
      for (const one of [part, item]) if (one !== null) unit.related.add(one.name as Name)
      put(part, item)
    } else {
      this.#touch(transaction, entity)
      assign(entity, change)
    }
  }

  async #remove (name: Name, em: EntityManager, transaction: Transaction): Promise<void> {
    await this.#load(name, em, transaction)
    const entity = transaction.unit.find(name)
    if (entity === undefined) return
    if (isItem(entity)) {
      for (const part of entity.parts) this.#adopt(part, transaction)
      // It changes even where its removal is refused.
      this.#touch(transaction, entity, ...entity.parts)
    } else if (isPart(entity)) this.#touch(transaction, entity, entity.item)
    detach(entity)
    em.remove(entity)
    this.#set(transaction, name, 'removed')
  }

  /** What relations an object keeps that has left its session is nobody's promise, so it is one that has never had any. */
  #persist (name: Name, em: EntityManager, transaction: Transaction): void {
    const { unit } = transaction
    const entity = unit.entities.get(name)
    if (entity === undefined || entity !== unit.created.get(name) || unit.status(name) !== undefined || unit.related.has(name)) return
    em.persist(entity)
    this.#set(transaction, name, 'live')
  }

  async #collect ({ name, collection, how, members }: Statement & { do: 'collect' }, em: EntityManager, transaction: Transaction): Promise<void> {
    await this.#load(name, em, transaction)
    const { unit } = transaction
    const item = unit.find(name) as Item | undefined
    if (item === undefined) return
    const live = members.map(member => unit.find(member)).filter(member => member !== undefined)
    for (const one of [item, ...live]) unit.related.add(one.name as Name)
    this.#touch(transaction, item, ...item.parts, ...live, ...live.map(member => isPart(member) ? member.item : null))
    if (collection === 'parts') item.parts[how](live as Part[])
    else item.labels[how](live as Label[])
  }

  /** MikroORM loads a collection without a flush before it, and would miss what is not flushed. */
  async #load (name: Name, em: EntityManager, transaction: Transaction): Promise<void> {
    const { unit } = transaction
    const item = unit.find(name)
    if (!isItem(item)) return
    if (!unit.loaded.has(name)) await em.flush()
    if (!item.parts.isInitialized()) await item.parts.init()
    if (!item.labels.isInitialized()) await item.labels.init()
    if (unit.find(name) === item) this.#adoptMembers(item, transaction)
  }

  async #find ({ kind, title, populate }: Statement & { do: 'find' }, em: EntityManager, transaction: Transaction): Promise<void> {
    const { unit } = transaction
    const { epoch } = unit
    const where = title === undefined ? {} : { title }
    const isWhole = kind === 'item' && populate
    // See #load about the flush.
    const found: Entity[] = isWhole
      ? await em.find(CLASSES.item, where, { populate: ['parts', 'labels'], flushMode: 'always' as FlushMode.ALWAYS })
      : await em.find<Entity>(CLASSES[kind] as never, where)
    this.observed.push({ found: found.map(({ name }) => name as Name).sort() })
    // The session that it was found for may have been emptied since.
    if (unit.epoch !== epoch) return
    for (const entity of found) {
      this.#adopt(entity, transaction)
      if (isWhole) this.#adoptMembers(entity as Item, transaction)
    }
  }

  async #transaction ({ propagation, body }: Statement & { do: 'transaction' }, em: EntityManager, place: Place): Promise<void> {
    const isOwn = propagation === 'requires_new'
    let transaction = undefined as Transaction | undefined
    try {
      await em.transactional(async inner => {
        transaction = isOwn ? new Transaction(new UnitOfWork()) : new Transaction(place.transaction.unit, place.transaction)
        await this.#block(body, { ...place, em: inner, transaction })
      }, { propagation: isOwn ? TransactionPropagation.REQUIRES_NEW : TransactionPropagation.NESTED })
    } catch (error) {
      // The flush before the savepoint has failed.
      if (transaction === undefined && !isOwn) place.transaction.isBroken = true
      transaction?.rollback()
      throw error
    }
    transaction?.release()
    if (isOwn && transaction !== undefined) await this.#around.committed(transaction.unit, this.isAlone ? undefined : [])
  }

  async #catch (body: Block, place: Place): Promise<void> {
    try {
      await this.#block(body, place)
    } catch (error) {
      this.observed.push({ caught: kindOfError(error), message: String(error), shown: place.transaction.isBroken ? null : place.transaction.unit.live.map(shownByName) })
    }
  }

  async #commit (unit: UnitOfWork): Promise<void> {
    const least = unit.live.map(({ name }) => name as Name)
    const { isAlone } = this
    await this.#around.db.commit()
    await this.#around.committed(unit, isAlone && this.isAlone ? undefined : least)
  }

  async #rollback (transaction: Transaction): Promise<void> {
    await transaction.unit.empty(async () => await this.#around.db.rollback())
    transaction.isBroken = false
  }

  async #parallel ({ branches, wait }: Statement & { do: 'parallel' }, place: Place): Promise<void> {
    const barrier = new Barrier(branches.length)
    this.#running += branches.length
    const running = branches.map(async branch => await this.#block(branch, { ...place, barrier }).finally(() => {
      this.#running--
      barrier.leave()
    }))
    this.#branches.push(...running)
    await Promise[wait as 'all'](running)
  }
}

function create (em: EntityManager, name: Name, title: string, code: string | null): Entity {
  switch (kindOf(name)) {
    case 'item': return em.create(CLASSES.item, { name, title, code, place: { street: 's', city: title }, data: null })
    case 'part': return em.create(CLASSES.part, { name, title, item: null })
    case 'label': return em.create(CLASSES.label, { name, title })
  }
}

function assign (entity: Entity, change: Exclude<Change, { property: 'item' }>): void {
  const item = entity as Item
  switch (change.property) {
    case 'title':
      entity.title = change.value
      break
    case 'code':
      item.code = change.value
      break
    case 'place':
      item.place = { ...change.value }
      break
    case 'place.city':
      item.place.city = change.value
      break
    case 'data':
      item.data = change.value && { ...change.value }
      break
    case 'data.count':
      if (item.data !== null) item.data.count = change.value
  }
}

/** MikroORM leaves a part in its item's collection when `part.item = null`, so this begins at the collection where there is one. */
function put (part: Part, item: Item | null): void {
  // One that is not loaded has no collections.
  if (item === null && part.item !== null && wrap(part.item).isInitialized() && part.item.parts.isInitialized() && part.item.parts.contains(part)) part.item.parts.remove(part)
  else part.item = item
}

function detach (entity: Entity): void {
  if (isItem(entity)) {
    entity.parts.removeAll()
    entity.labels.removeAll()
  } else if (isPart(entity)) put(entity, null)
}

function kindOfError (error: unknown): ErrorKind {
  return error instanceof ProgramError ? 'thrown' : 'refused'
}
