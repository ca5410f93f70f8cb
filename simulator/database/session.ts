import { clock } from '../clock.ts'
import type { Faults } from '../faults.ts'
import type { Link, Peer } from '../link.ts'
import { DatabaseFailure, interrupted } from './failure.ts'
import { kindOf } from './kind.ts'
import type { Node } from './node.ts'
import { answer, failed, greeting, PacketReader, type Result } from './packets.ts'
import { questionIn } from './questions.ts'
import { carryOut } from './statements.ts'
import type { Store } from './store.ts'
import { Transaction } from './transaction.ts'

const QUIT = 1
const QUERY = 3

/** What the plugin sends as the first message of a transaction: BEGIN and a statement, and the question for what it has generated. */
const COMPOUND = /^begin not atomic (?:set transaction [\w ,]+; )*start transaction;( do last_insert_id\(0\);)? (.*)\n;(?: select last_insert_id\(\) as id, row_count\(\) as count;)? end$/is

/** What a driver or a tracer writes around a statement. */
const COMMENT = /^\/\*.*?\*\/\s*|\s*\/\*.*?\*\/$/g

/** One connection, as its server sees it. */
export class Session implements Peer {
  readonly id: number
  readonly link: Link
  /** Whether a statement runs. */
  isWorking = false
  readonly #node: Node
  readonly #store: Store
  readonly #faults: Faults
  readonly #tell: (what: string) => void
  readonly #reader = new PacketReader()
  readonly #commands: Buffer[] = []
  #transaction: Transaction | undefined
  #isLoggedIn = false
  #isClosed = false
  #kill = (): void => {}

  /** @param tell takes what is sent and what becomes of it */
  constructor (node: Node, store: Store, link: Link, faults: Faults, tell: (what: string) => void) {
    this.id = node.nextConnection()
    this.#node = node
    this.#store = store
    this.link = link
    this.#faults = faults
    this.#tell = what => { tell(`#${this.id} ${what}`) }
    link.send(greeting(this.id, node.version))
  }

  get isInTransaction (): boolean {
    return this.#transaction !== undefined
  }

  get hasWritten (): boolean {
    return this.#transaction?.hasWritten === true
  }

  received (chunk: Buffer): void {
    if (this.#isClosed) return
    this.#commands.push(...this.#reader.read(chunk))
    if (!this.isWorking) void this.#work()
  }

  closed (): void {
    this.#isClosed = true
    this.#tell('is closed')
    this.#node.sessions.delete(this)
    this.#stop()
    this.#end()
  }

  /** Stops the statement that runs, if one does. */
  kill (): void {
    if (this.isWorking) this.#stop()
  }

  /** Commits, whatever is told of it. */
  commit (): void {
    this.#transaction?.commit()
    this.#transaction = undefined
  }

  #stop (): void {
    this.#kill()
    if (this.#transaction !== undefined) this.#node.locks.interrupt(this.#transaction, interrupted())
  }

  async #work (): Promise<void> {
    this.isWorking = true
    for (let command = this.#commands.shift(); command !== undefined && !this.#isClosed; command = this.#commands.shift()) {
      await this.#node.thawed()
      if (!this.#isLoggedIn) {
        this.#isLoggedIn = true
        this.link.send(answer([{}], false, 2))
      } else if (command[0] === QUIT) this.link.end()
      else if (command[0] === QUERY) await this.#query(command.subarray(1).toString().replace(COMMENT, ''))
      else throw new Error(`the simulation knows no command ${command[0]}`)
    }
    this.isWorking = false
  }

  async #query (sql: string): Promise<void> {
    const kind = kindOf(sql)
    const { delay, before, failure: forged, isCarriedOut = forged === undefined, after } = this.#faults.fateOf(kind)
    const isKilled = await this.#isKilledWithin(delay)
    await this.#node.thawed()
    if (this.#isClosed) return
    if (before !== undefined) this.#tell(`${before} before ${sql}`)
    if (before === 'cut') this.link.cut()
    if (before === 'silence') this.link.silence()
    if (before !== undefined) return
    const refusal = isKilled ? interrupted() : this.#node.refusal(sql, kind, this)
    let failure = refusal ?? forged
    let results: Result[] = []
    try {
      if (refusal === undefined && isCarriedOut) results = await this.#carryOut(sql)
    } catch (error) {
      if (!(error instanceof DatabaseFailure)) throw error
      failure = error
    }
    if (failure !== undefined && failure.then !== 'nothing') this.#end()
    this.#tell(`${sql}: ${failure === undefined ? 'done' : `${failure.number}${refusal === undefined && isCarriedOut && failure === forged ? ', but done' : ''}`}${after === undefined ? '' : `, and ${after}`}`)
    this.#reply(failure === undefined ? answer(results, this.isInTransaction) : failed(failure), after)
    if (failure?.then === 'close') this.link.end()
  }

  #reply (reply: Buffer, after: 'cut' | 'cut in the answer' | 'silence' | undefined): void {
    // Its client may have left meanwhile.
    if (this.#isClosed) return
    if (after === 'cut') this.link.cut()
    else if (after === 'silence') this.link.silence()
    else if (after === 'cut in the answer') {
      this.link.send(reply.subarray(0, Math.ceil(reply.length / 2)))
      this.link.end()
    } else this.link.send(reply)
  }

  async #isKilledWithin (delay: number): Promise<boolean> {
    if (delay === 0) return false
    return await Promise.race([
      new Promise<boolean>(resolve => { this.#kill = () => { resolve(true) } }),
      clock.sleep(delay).then(() => false)
    ])
  }

  async #carryOut (sql: string): Promise<Result[]> {
    const compound = COMPOUND.exec(sql)
    if (compound !== null) {
      const [, generates, statement = ''] = compound
      this.#begin()
      const result = await this.#run(statement)
      if (generates === undefined) return result.columns === undefined ? [result] : [result, {}]
      return [{ columns: ['id', 'count'], rows: [{ id: result.insertId ?? '0', count: String(result.affected) }] }, {}]
    }
    const command = sql.trim().toLowerCase()
    if (command === 'commit') this.#commitIfCertified()
    else if (command === 'rollback') this.#end()
    else if (/^(?:begin|start transaction|set statement wsrep_sync_wait=\d+ for begin)$/.test(command)) this.#begin()
    else if (/\bsavepoint\b|^rollback to /.test(command)) this.#savepoint(command)
    else return [questionIn(command, this, this.#node) ?? await this.#run(sql)]
    return [{}]
  }

  /** Inside, or in a transaction of its own. */
  async #run (sql: string): Promise<Result> {
    const transaction = this.#transaction ?? new Transaction(this.#store, this.#node.locks)
    const isOwn = transaction !== this.#transaction
    const before = transaction.changes()
    try {
      const result = await carryOut(sql, transaction, this.#store)
      if (isOwn && !this.#isClosed) transaction.commit()
      return result
    } catch (error) {
      transaction.restore(before)
      throw error
    } finally {
      if (isOwn) transaction.end()
    }
  }

  #begin (): void {
    this.commit()
    this.#transaction = new Transaction(this.#store, this.#node.locks)
  }

  /** Of two nodes that have changed the same row the first to commit is right. */
  #commitIfCertified (): void {
    try {
      this.#transaction?.assertCertified()
      this.commit()
    } catch (error) {
      this.#faults.count('conflict at COMMIT')
      throw error
    }
  }

  #savepoint (command: string): void {
    const [, verb, name = ''] = /^(savepoint|release savepoint|rollback to(?: savepoint)?) `?(\w+)`?$/.exec(command) ?? []
    // Outside of any transaction, as after a deadlock, there is none.
    const transaction = this.#transaction ?? new Transaction(this.#store, this.#node.locks)
    if (verb === 'savepoint') transaction.savepoint(name)
    else if (verb === 'release savepoint') transaction.release(name)
    else transaction.rollbackTo(name)
  }

  #end (): void {
    this.#transaction?.end()
    this.#transaction = undefined
  }
}
